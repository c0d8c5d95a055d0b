//! The same work in processes of their own: each is this program, told on standard input what to do, a line at a time.
//!
//! The first line is the [`Plan`]; then comes an [`Order`] a line. Each is answered by an [`Answer`] on standard output.

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use datacache_client::Options;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::meter::Meter;
use super::plan::Plan;
use super::row::Row;
use super::samples::{Samples, Shipment};
use super::worker::Worker;
use crate::args::Global;
use crate::failure::{Failure, chain};
use crate::output::print_line;
use crate::render::json;

/// How often to look for a signal while others work.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a worker's process is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// Make ready what a row needs.
    Prepare(Row),
    /// Measure it, now.
    Measure(Row),
}

/// What it answers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// The cache is open, or the row made ready.
    Ready,
    /// The row is measured.
    Measured(Shipment),
    /// It is not, and why.
    Failed(String),
}

/// All processes of a run, or this one alone.
pub(crate) enum Team<'a> {
    /// This one.
    Alone(Box<Worker<'a>>),
    /// Others.
    Others(Vec<Remote>, Meter<'a>),
}

/// Another process that works. Dropping it ends it.
pub(crate) struct Remote {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<io::Result<String>>,
}

impl<'a> Team<'a> {
    /// Starts as many processes as are wanted; one is this one.
    ///
    /// # Errors
    /// Where they can't be started, or can't open the cache.
    pub(crate) fn gather(
        processes: u32,
        plan: &Plan,
        options: &Options,
        global: &Global,
        meter: Meter<'a>,
    ) -> Result<Self, Failure> {
        if processes <= 1 {
            return Ok(Self::Alone(Box::new(Worker::open(options, plan.clone(), 0, meter)?)));
        }
        let remotes = (0..processes).map(|number| Remote::start(number, global)).collect::<io::Result<Vec<_>>>();
        let mut team = Self::Others(remotes.map_err(broken)?, meter);
        team.tell_all(plan)?;
        team.hear_all().map(drop)?;
        Ok(team)
    }

    /// Has all make ready what a row needs, and then all at once measure it.
    ///
    /// # Errors
    /// Where one of them fails, and [`Failure::Interrupted`].
    pub(crate) fn measure(&mut self, row: Row) -> Result<Samples, Failure> {
        if let Self::Alone(worker) = self {
            worker.prepare(row)?;
            return worker.measure(row);
        }
        self.tell_all(&Order::Prepare(row))?;
        self.hear_all()?;
        self.tell_all(&Order::Measure(row))?;
        let mut all = self.hear_all()?.into_iter();
        let mut joined = all.next().unwrap_or_default();
        all.for_each(|samples| joined.join(&samples));
        Ok(joined)
    }

    fn tell_all(&mut self, what: &impl Serialize) -> Result<(), Failure> {
        let line = json::to_line(what);
        let tell = |remote: &mut Remote| writeln!(remote.orders, "{line}").map_err(broken);
        self.remotes().iter_mut().try_for_each(tell)
    }

    fn hear_all(&mut self) -> Result<Vec<Samples>, Failure> {
        let Self::Others(remotes, meter) = self else { return Ok(Vec::new()) };
        let answers: Vec<_> = remotes.iter().map(|remote| remote.hear(*meter)).collect::<Result<_, _>>()?;
        Ok(answers.into_iter().flatten().collect())
    }

    fn remotes(&mut self) -> &mut [Remote] {
        match self {
            Self::Alone(_) => &mut [],
            Self::Others(remotes, _) => remotes,
        }
    }
}

impl Remote {
    fn start(number: u32, global: &Global) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "--worker", &number.to_string()]);
        command.args(global.dir.iter().flat_map(|dir| ["--dir".as_ref(), dir.as_os_str()]));
        command.args(global.socket.iter().flat_map(|socket| ["--socket".as_ref(), socket.as_os_str()]));
        command.args(global.no_start.then_some("--no-start"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, output) = (child.stdin.take(), child.stdout.take());
        let (orders, output) = orders.zip(output).ok_or(io::ErrorKind::BrokenPipe)?;
        let (sender, answers) = channel();
        // It ends with the process.
        thread::spawn(move || BufReader::new(output).lines().try_for_each(|line| sender.send(line)));
        Ok(Self { child, orders, answers })
    }

    /// Waits for an answer; `None` where it brings no samples.
    fn hear(&self, meter: Meter<'_>) -> Result<Option<Samples>, Failure> {
        loop {
            meter.go_on()?;
            let line = match self.answers.recv_timeout(LOOK_AGAIN) {
                Ok(line) => line.map_err(broken)?,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    // `^C` ends the others before we have looked at it.
                    meter.go_on()?;
                    return Err(broken(io::Error::other("it has ended")));
                }
            };
            return match read(&line)? {
                Answer::Ready => Ok(None),
                Answer::Measured(shipment) => Ok(Some(shipment.into())),
                Answer::Failed(why) => Err(broken(io::Error::other(why))),
            };
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::debug!(%error, "a process that worked can't be ended");
        }
    }
}

/// Is such a process, until standard input is closed.
///
/// # Errors
/// Where it is told what it can't understand, or nobody listens.
pub(crate) fn serve(number: u32, options: &Options) -> Result<(), Failure> {
    let mut lines = io::stdin().lock().lines();
    let Some(plan) = next::<Plan>(&mut lines)? else { return Ok(()) };
    let worker = match Worker::open(options, plan, number, Meter::endless()) {
        Ok(worker) => worker,
        Err(failure) => return answer(&Answer::Failed(chain(&failure))),
    };
    answer(&Answer::Ready)?;
    while let Some(order) = next(&mut lines)? {
        let done = match order {
            Order::Prepare(row) => worker.prepare(row).map(|()| Answer::Ready),
            Order::Measure(row) => worker.measure(row).map(|samples| Answer::Measured((&samples).into())),
        };
        answer(&done.unwrap_or_else(|failure| Answer::Failed(chain(&failure))))?;
    }
    Ok(())
}

fn next<T: DeserializeOwned>(lines: &mut Lines<impl BufRead>) -> Result<Option<T>, Failure> {
    lines.next().transpose().map_err(broken)?.map(|line| read(&line)).transpose()
}

fn read<T: DeserializeOwned>(line: &str) -> Result<T, Failure> {
    serde_json::from_str(line).map_err(|error| broken(error.into()))
}

fn answer(answer: &Answer) -> Result<(), Failure> {
    print_line(json::to_line(answer))
}

fn broken(source: io::Error) -> Failure {
    Failure::System { what: "measure in a process of its own", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_answers_survive_their_way() {
        for order in [Order::Prepare(Row::GetRpc), Order::Measure(Row::SetLarge)] {
            assert_eq!(read::<Order>(&json::to_line(&order)).unwrap(), order);
        }
        let mut samples = Samples::default();
        samples.record(Duration::from_micros(3));
        let answer = Answer::Measured((&samples).into());
        assert_eq!(read::<Answer>(&json::to_line(&answer)).unwrap(), answer);
    }

    #[test]
    fn what_is_no_order_is_refused() {
        assert!(read::<Order>("{\"prepare\":\"everything\"}").is_err());
        assert!(read::<Plan>("").is_err());
    }
}
