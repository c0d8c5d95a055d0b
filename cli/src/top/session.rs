//! A session of the view, from its begin to its end: the one loop that has the state, and draws.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use datacache_proto::time::Timestamp;
use ratatui_core::terminal::Terminal;
use signal_hook::consts::{SIGCONT, SIGTSTP};

use super::app::{App, Effect};
use super::backend::Screen;
use super::event::{self, Event};
use super::input::keys;
use super::source::{self, News, Order};
use super::terminal::{self, Takeover, give_back};
use super::theme::Theme;
use super::view;
use crate::context::Context;
use crate::failure::Failure;
use crate::interrupt::end_by;

/// Ages are shown to the second.
const REDRAW: Duration = Duration::from_secs(1);

/// Shows the view until its user has enough of it.
///
/// # Errors
/// Where there is no terminal, no store, or no daemon at the beginning.
pub(crate) fn run(context: &Context, interval: Duration) -> Result<(), Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    terminal::check(variable("TERM").as_deref())?;
    // As for any other command: a daemon is started where none runs, and what is wrong is told in a line.
    drop(context.open_existing()?);
    let store = context.served_store()?.display().to_string();
    let (events, happened) = channel();
    event::hear_signals(events.clone()).map_err(|source| Failure::System { what: "hold signals back", source })?;
    let orders = source::begin(&context.calling(), context.activated()?, events.clone());
    let taken = Takeover::begin().map_err(no_terminal)?;
    event::hear_keys(events);
    let mut session = Session {
        app: App::new(store, interval, Timestamp::now()),
        theme: Theme::of_environment(variable),
        terminal: Terminal::new(Screen::default()).map_err(no_terminal)?,
        orders,
        asked: None,
        due: Instant::now(),
    };
    let ended = session.until_end(&happened);
    drop(taken);
    match ended? {
        Some(signal) => Err(Failure::Interrupted { signal }),
        None => Ok(()),
    }
}

fn no_terminal(source: io::Error) -> Failure {
    Failure::System { what: "use the terminal", source }
}

struct Session {
    app: App,
    theme: Theme,
    terminal: Terminal<Screen>,
    orders: Sender<Order>,
    /// When the daemon was asked, while it has not answered.
    asked: Option<Instant>,
    /// When it is asked the next time.
    due: Instant,
}

/// What an event leads to.
enum Next {
    On,
    End,
    Signal(i32),
}

impl Session {
    /// Returns the signal that ended it, if one did.
    fn until_end(&mut self, happened: &Receiver<Event>) -> Result<Option<i32>, Failure> {
        loop {
            self.ask();
            self.draw().map_err(no_terminal)?;
            let mut event = match happened.recv_timeout(self.pause()) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            };
            // All that has happened is taken in before it is drawn.
            while let Some(happening) = event {
                match self.take(happening).map_err(no_terminal)? {
                    Next::On => {}
                    Next::End => return Ok(None),
                    Next::Signal(signal) => return Ok(Some(signal)),
                }
                event = happened.try_recv().ok();
            }
        }
    }

    /// Asks the daemon, if it is time and it has answered what it was asked before.
    fn ask(&mut self) {
        let now = Instant::now();
        if self.asked.is_none() && !self.app.is_paused && now >= self.due {
            self.asked = Some(now);
            self.due = now + self.app.interval;
            self.send(Order::Measure);
        }
    }

    /// The thread at the other end lives as long as we do.
    fn send(&self, order: Order) {
        self.orders.send(order).unwrap_or_default();
    }

    fn pause(&self) -> Duration {
        let is_waiting = self.asked.is_some() || self.app.is_paused;
        let until_due = self.due.saturating_duration_since(Instant::now());
        if is_waiting { REDRAW } else { until_due.min(REDRAW) }
    }

    fn take(&mut self, event: Event) -> io::Result<Next> {
        match event {
            Event::Input(bytes) => {
                for key in keys(&bytes) {
                    match self.app.press(key) {
                        Some(Effect::Quit) => return Ok(Next::End),
                        Some(Effect::Send(order)) => self.send(order),
                        None => {}
                    }
                }
                // An interval that was made shorter begins now.
                self.due = self.due.min(Instant::now() + self.app.interval);
            }
            Event::InputEnded => return Ok(Next::End),
            Event::News(news) => self.hear(news),
            Event::Signal(SIGTSTP) => {
                give_back();
                end_by(SIGTSTP);
            }
            Event::Signal(SIGCONT) => {
                // The one of the beginning gives it back.
                std::mem::forget(Takeover::begin()?);
                self.terminal.clear()?;
            }
            Event::Signal(signal) if event::ends(signal) => return Ok(Next::Signal(signal)),
            // Of a new size: what was on the screen may be anywhere now.
            Event::Signal(_) => self.terminal.clear()?,
        }
        Ok(Next::On)
    }

    fn hear(&mut self, news: News) {
        self.app.now = Timestamp::now();
        match news {
            News::Evicted { .. } => self.due = Instant::now(),
            News::Measured(_) | News::Gone { .. } => self.asked = None,
        }
        self.app.hear(news);
    }

    fn draw(&mut self) -> io::Result<()> {
        self.app.now = Timestamp::now();
        let (app, theme) = (&self.app, &self.theme);
        let mut page = app.page;
        self.terminal.draw(|frame| page = view::draw(frame.buffer_mut(), app, theme))?;
        self.app.page = page;
        Ok(())
    }
}
