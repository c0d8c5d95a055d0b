//! `bench`: what the operations of the cache take, beside what the machine takes for the least they could be made of.

use crate::bench::floor::Copy;
use crate::bench::ground::Ground;
use crate::bench::meter::{Meter, clock};
use crate::bench::ping::{self, Waiting};
use crate::bench::plan::Plan;
use crate::bench::remote::{Team, serve};
use crate::bench::report::{Floor, Report, Rows};
use crate::bench::row::Row;
use crate::bench::samples::Figures;
use crate::bench::worker::fill;
use crate::context::Context;
use crate::failure::{Answer, Failure};
use crate::interrupt::Interrupts;
use crate::output::{print, print_line};
use crate::progress::Extent;
use crate::render::json;

/// More messages make the floor no more exact.
const PINGS_MAX: u64 = 20_000;

const ROWS: &str = "\
Rows:
  get                 a random entry that was applied to LMDB, from the map
  get_recent          an entry added a moment ago: in the log, not applied yet
  get_rpc             a random entry, by a call to the daemon
  set                 another value for a random entry
  delete              an entry that is there
  get_large           a value of 1 MiB, as a map of its file
  set_large           the same, hashed and written
  lmdb_get            a bare look into LMDB, in this process
  socket_ping         64 bytes to another process and back, both asleep
  socket_ping_polled  the same, both looking again and again

In JSON, the last three are in `floor`.";

/// The arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = ROWS)]
pub(crate) struct BenchArgs {
    /// Print a JSON object: for each row p50_us, p90_us, p99_us and per_s
    #[arg(long)]
    json: bool,
    /// How many entries there are to read and replace
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    entries: u64,
    /// The length of their values in bytes
    #[arg(long, value_name = "B", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=16 << 20))]
    value_size: u32,
    /// How many operations each process does for a row; of large values fewer
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    ops: u64,
    /// How many processes are at it at once
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,
    /// Be one of the processes that work, as told on stdin
    #[arg(long, value_name = "NUMBER", hide = true)]
    worker: Option<u32>,
    /// Send back what comes from stdin, a socket
    #[arg(long, value_name = "WAITING", hide = true, conflicts_with = "worker")]
    echo: Option<Waiting>,
}

pub(crate) fn bench(args: &BenchArgs, context: &Context) -> Result<Answer, Failure> {
    match (args.worker, args.echo) {
        (Some(number), _) => serve(number, &context.options())?,
        (None, Some(waiting)) => ping::echo(waiting)?,
        (None, None) => run(args, context)?,
    }
    Ok(Answer::Yes)
}

fn run(args: &BenchArgs, context: &Context) -> Result<(), Failure> {
    let failed = |source| Failure::System { what: "hold signals back", source };
    let interrupts = Interrupts::hold_back().map_err(failed)?;
    let report = Run::begin(args, context, &interrupts)?.measure()?;
    if args.json { print_line(json::to_line(&report)) } else { print(&report.plain()) }
}

/// A run: its plan, its namespace, and those who work.
struct Run<'a> {
    context: &'a Context,
    meter: Meter<'a>,
    plan: Plan,
    processes: u32,
    // Before `ground`: nobody works any more when that is emptied.
    team: Team<'a>,
    ground: Ground,
}

impl<'a> Run<'a> {
    /// Takes a namespace, fills it, and starts the processes.
    fn begin(args: &BenchArgs, context: &'a Context, interrupts: &'a Interrupts) -> Result<Self, Failure> {
        let meter = Meter::until(interrupts);
        let ground = Ground::take(context.options(), &context.paths()?.store)?;
        let plan = Plan {
            namespace: ground.name().to_owned(),
            entries: args.entries,
            value_size: usize::try_from(args.value_size).expect("it was bounded"),
            ops: args.ops,
        };
        ground.check_room(plan.most(args.processes))?;
        let filling = context.progress("adding the entries", Extent::Time);
        fill(ground.cache(), &plan, (0..plan.entries).map(Plan::key), meter)?;
        drop(filling);
        let team = Team::gather(args.processes, &plan, &context.options(), &context.global, meter)?;
        Ok(Self { context, meter, plan, processes: args.processes, team, ground })
    }

    /// Measures row by row; what belongs together, one right after the other.
    fn measure(mut self) -> Result<Report, Failure> {
        let clock_ns = u64::try_from(clock().as_nanos()).unwrap_or(u64::MAX);
        self.ground.settle()?;
        let hits = self.ground.direct_hits()?;
        let get = self.row(Row::Get)?;
        let lmdb_get = self.lmdb_get()?;
        let expected = Meter::all_of(self.plan.ops) * u64::from(self.processes);
        let direct = self.ground.direct_hits()? - hits >= expected;
        let get_recent = self.row(Row::GetRecent)?;
        self.ground.settle()?;
        let get_rpc = self.row(Row::GetRpc)?;
        let socket_ping_polled = self.ping(Waiting::Polling)?;
        let set = self.row(Row::Set)?;
        let socket_ping = self.ping(Waiting::Asleep)?;
        let delete = self.row(Row::Delete)?;
        let set_large = self.row(Row::SetLarge)?;
        let get_large = self.row(Row::GetLarge)?;
        let rows = Rows { get, get_recent, get_rpc, set, delete, get_large, set_large };
        let floor = Floor { lmdb_get, socket_ping, socket_ping_polled };
        let report = Report::new(&self.plan, self.processes, clock_ns, direct, rows, floor);
        self.end()?;
        Ok(report)
    }

    fn row(&mut self, row: Row) -> Result<Figures, Failure> {
        let _progress = self.context.progress(row.doing(), Extent::Time);
        Ok(self.team.measure(row)?.figures())
    }

    fn lmdb_get(&self) -> Result<Figures, Failure> {
        let _progress = self.context.progress("measuring LMDB by itself", Extent::Time);
        Ok(Copy::make(&self.plan, self.meter)?.measure(&self.plan, self.meter)?.figures())
    }

    fn ping(&self, waiting: Waiting) -> Result<Figures, Failure> {
        let _progress = self.context.progress("measuring a bare message", Extent::Time);
        Ok(ping::measure(waiting, self.plan.ops.min(PINGS_MAX), self.meter)?.figures())
    }

    fn end(self) -> Result<(), Failure> {
        let _progress = self.context.progress("removing the entries", Extent::Time);
        drop(self.team);
        self.ground.clear()
    }
}
