//! Waiting for a moment of the wall clock, which may be set forward or back meanwhile, or stand still in a suspend.

use std::io;

use datacache_proto::time::Timestamp;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use datacache_proto::readable::Readable;

/// Beyond this the kernel's clock ends; nobody waits so long.
const LATEST_SECOND: u64 = 1 << 40;

/// A timer on the wall clock. It needs no look at the clock in between: the kernel fires it when the clock is there,
/// however it came there.
#[derive(Debug)]
pub(crate) struct Alarm(Readable);

impl Alarm {
    /// Makes a timer that is not set. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the system has none left.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self(Readable::new(timer)?))
    }

    /// Waits until the wall clock shows `moment`; does not wait for one that is past.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) async fn at(&self, moment: Timestamp) -> io::Result<()> {
        let setting = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: timespec(moment) };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &setting)?;
        loop {
            let mut ready = self.0.ready().await?;
            match rustix::io::read(&self.0, &mut [0_u8; 8]) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                result => return result.map(drop).map_err(Into::into),
            }
        }
    }
}

/// Zero would switch the timer off, so the beginning of time is a nanosecond later.
fn timespec(moment: Timestamp) -> Timespec {
    let millis = moment.as_millis();
    let seconds = (millis / 1_000).min(LATEST_SECOND);
    Timespec {
        tv_sec: i64::try_from(seconds).expect("it was capped"),
        tv_nsec: i64::try_from(millis % 1_000).expect("it is below 1,000") * 1_000_000 + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(flavor = "current_thread")]
    async fn a_past_moment_is_not_waited_for() {
        let alarm = Alarm::new().unwrap();
        for moment in [Timestamp::default(), Timestamp::from_millis(1), Timestamp::now()] {
            alarm.at(moment).await.unwrap();
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn it_does_not_fire_before_its_moment() {
        let alarm = Alarm::new().unwrap();
        let moment = Timestamp::now().after(Duration::from_millis(30));
        alarm.at(moment).await.unwrap();
        assert!(Timestamp::now() >= moment);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_moment_that_no_clock_reaches_is_waited_for_and_can_be_given_up() {
        let alarm = Alarm::new().unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(10), alarm.at(Timestamp::MAX)).await;
        assert!(waited.is_err());
        alarm.at(Timestamp::now()).await.unwrap();
    }
}
