//! What runs the models, and the machine under it.

use vultus::config::Config;
use vultus::config::RuntimeChoice;
use vultus::infer::manifest::Models;
use vultus::infer::{Chosen, Runtime};
use vultus::time::monotonic_now;

use super::Check;

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let (runtime, started) = runtime(config);
    let (models, loaded) = models(config);
    let mut checks = vec![runtime, models];
    if let (Some(runtime), Some(models)) = (started, loaded) {
        checks.push(encoder(&runtime, &models, config));
    }
    #[cfg(target_os = "linux")]
    checks.extend(clocksource(&std::fs::read_to_string(CLOCKSOURCE).unwrap_or_default()));
    checks.push(clock_step());
    checks.push(cores(std::thread::available_parallelism().map_or(1, usize::from), config.inference.threads));
    checks
}

/// Which runtime is found.
fn runtime(config: &Config) -> (Check, Option<Runtime>) {
    let choice = config.inference.runtime;
    // `auto` would fall back without saying here why.
    let tried = if choice == RuntimeChoice::Auto { RuntimeChoice::Ort } else { choice };
    match Runtime::start(tried) {
        Ok(runtime) => (Check::ok(format!("runtime: {}", runtime.description())), Some(runtime)),
        Err(error) if choice == RuntimeChoice::Auto => (
            Check::warn("runtime: tract, built in; it is slower than ONNX Runtime", error.to_string()),
            Some(Runtime::Tract),
        ),
        Err(error) => (Check::fail("runtime: the one that is asked for cannot be used", error.to_string()), None),
    }
}

fn models(config: &Config) -> (Check, Option<Models>) {
    let from = config.models.origin();
    match Models::chosen(&config.models) {
        Ok(models) => {
            let what =
                format!("models: {} and {} ({from}), checksums right", models.detector.name, models.encoder.name);
            (Check::ok(what), Some(models))
        }
        Err(error) => (Check::fail(format!("models ({from}) cannot be used"), error.to_string()), None),
    }
}

/// Where the encoder would run.
fn encoder(runtime: &Runtime, models: &Models, config: &Config) -> Check {
    match runtime.encoder(&models.encoder, &config.inference) {
        Ok(Chosen { session, reason, measured }) => {
            let measured = measured.map(|measured| format!(" ({measured})")).unwrap_or_default();
            let (device, runtime) = (session.device(), session.runtime());
            Check::ok(format!("encoder: would run on {device} ({runtime}): {reason}{measured}"))
        }
        Err(error) => Check::fail("encoder: cannot run", error.to_string()),
    }
}

#[cfg(target_os = "linux")]
const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// What counts the time. The slow ones take microseconds to read, each time.
#[cfg(target_os = "linux")]
fn clocksource(name: &str) -> Option<Check> {
    match name.trim() {
        "" => None,
        slow @ ("hpet" | "acpi_pm" | "jiffies" | "refined-jiffies" | "pit") => Some(Check::warn(
            format!("clock: {slow}, which is slow to read"),
            "see with `dmesg | grep -i tsc` why the kernel does not use the processor's own (tsc)",
        )),
        good => Some(Check::ok(format!("clock: {good}"))),
    }
}

/// The smallest step that the clock is seen to make.
fn clock_step() -> Check {
    let mut last = monotonic_now();
    let steps = std::iter::repeat_with(|| {
        let now = monotonic_now();
        now - std::mem::replace(&mut last, now)
    });
    match steps.take(10_000).filter(|&ns| ns > 0).min() {
        Some(ns) if ns <= 100_000 => Check::ok(format!("clock: steps of {ns} ns")),
        _ => Check::warn(
            "clock: steps of more than 0.1 ms",
            "frames of different cameras cannot be matched better than that; run on real hardware",
        ),
    }
}

fn cores(cores: usize, threads: Option<usize>) -> Check {
    let shown = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    match threads {
        Some(threads) if threads > cores => Check::warn(
            format!("{} for {}", shown(threads, "thread"), shown(cores, "core")),
            "lower `inference.threads` in vultus.toml, or leave it out",
        ),
        Some(threads) => Check::ok(format!("{}, {} of them used", shown(cores, "core"), threads)),
        None if cores == 1 => Check::warn("1 core", "cameras and models share it; expect dropped frames"),
        None => Check::ok(format!("{}, all used", shown(cores, "core"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_slow_clock_is_a_warning() {
        assert_eq!(clocksource("hpet\n").map(|check| check.level), Some(Level::Warn));
        assert_eq!(clocksource("tsc\n").map(|check| check.level), Some(Level::Ok));
        assert!(clocksource("").is_none());
    }

    #[test]
    fn more_threads_than_cores_are_a_warning() {
        assert_eq!(cores(2, Some(3)).level, Level::Warn);
        assert_eq!(cores(2, Some(2)).level, Level::Ok);
        assert_eq!(cores(1, None).level, Level::Warn);
        assert_eq!(cores(4, None).what, "4 cores, all used");
    }

    #[test]
    fn models_that_are_not_there_are_a_failure() {
        let mut config = Config::default();
        assert_eq!(models(&config).0.level, Level::Ok);
        config.models.folder = Some("/nowhere".into());
        let (check, loaded) = models(&config);
        assert_eq!(check.level, Level::Fail);
        assert!(loaded.is_none() && check.remedy.is_some_and(|remedy| remedy.contains("/nowhere")));
    }
}
