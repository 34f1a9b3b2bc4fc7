//! Who goes first where threads compete for a core: those that take frames and match them, as what they lose is lost,
//! before those that look at pictures; and those that serve pages last. On Linux, where a thread can have a priority of
//! its own; raising one takes a right that most users do not have (`ulimit -e`), and without it threads stay as they
//! are.

/// Before whom a thread goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Little work, which must not wait.
    First,
    /// As the system has it.
    Usual,
    /// What can wait.
    Last,
}

impl Rank {
    /// Gives it to the calling thread, as far as the system lets.
    pub fn take(self) {
        let niceness = match self {
            Self::First => -10,
            Self::Usual => return,
            Self::Last => 5,
        };
        if let Err(error) = set(niceness) {
            tracing::debug!("threads keep their priority: {error}");
        }
    }
}

#[cfg(target_os = "linux")]
fn set(niceness: i32) -> rustix::io::Result<()> {
    // To Linux a thread is what POSIX means by a process here.
    rustix::process::setpriority_process(Some(rustix::thread::gettid()), niceness)
}

#[cfg(not(target_os = "linux"))]
fn set(_: i32) -> std::io::Result<()> {
    Ok(())
}
