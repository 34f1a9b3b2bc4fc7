//! What measurements share: what Linux tells of a process, and order statistics.
#![allow(dead_code, reason = "every benchmark uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};

/// Clock ticks a second in `/proc`: so on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// A process that runs.
pub struct Process(PathBuf);

impl Process {
    pub fn of(id: u32) -> Self {
        Self(format!("/proc/{id}").into())
    }

    /// CPU time so far, seconds.
    pub fn cpu_s(&self) -> f64 {
        cpu_s(&self.0)
    }

    /// That of the thread of this name; 0 if there is none.
    pub fn thread_cpu_s(&self, name: &str) -> f64 {
        let threads = fs::read_dir(self.0.join("task")).expect("Linux tells").flatten().map(|thread| thread.path());
        let has_name = |path: &Path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
        threads.filter(|path| has_name(path)).map(|path| cpu_s(&path)).sum()
    }

    /// Resident memory in MB.
    pub fn memory_mb(&self) -> f64 {
        let status = fs::read_to_string(self.0.join("status")).expect("Linux tells");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
    }
}

/// CPU time of a process or a thread (proc_pid_stat(5): utime and stime).
fn cpu_s(of: &Path) -> f64 {
    let stat = fs::read_to_string(of.join("stat")).expect("Linux tells");
    // The name before may hold anything, also spaces.
    let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<f64>().expect("a number")).sum::<f64>() / TICKS_PER_S
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    percentile(&values.collect::<Vec<_>>(), 50)
}

/// The value that so many per cent of them do not exceed.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() * percent / 100]
}
