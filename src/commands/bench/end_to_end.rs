use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use vultus::bench::end_to_end::{GAPS, GlassToResult, run as measure};
use vultus::bench::flash::LEARNT_FROM;
use vultus::config::{Config, DeviceChoice, RuntimeChoice};
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::pipeline::health::Quantiles;
use vultus::serve::screen::Screen;

use super::cause;
use super::pipeline::seconds;
use super::text::number;
use crate::commands::live;
use crate::commands::options::loopback;
use crate::commands::page::show;
use crate::commands::signal::{BROKEN_OFF, stop_on_signal};
use crate::commands::status::progress_bar;
use crate::commands::table::lines;

/// From glass to result: a page turns bright and dark, the cameras see it, and the results' pictures tell when
#[derive(clap::Args)]
#[command(after_help = "Point the cameras at a screen that shows the page, as large as it can be.

Nobody can see from inside how long a screen takes to light up once a picture has been handed to
it (an office screen some 5 to 30 ms): that is in the figures. The time between two pictures of the
screen is told beside them.")]
pub(super) struct Args {
    /// Camera to open, as `vultus cameras` lists it, perhaps with a name: NAME=ID [default: all]
    #[arg(long, value_name = "[NAME=]ID")]
    camera: Vec<String>,

    /// How long it is measured, in seconds
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    seconds: Duration,

    /// Serve the page here
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7879", value_parser = loopback)]
    listen: SocketAddr,

    /// Do not open the page in a browser
    #[arg(long)]
    no_open: bool,

    /// What runs the models [default: auto]
    #[arg(long, value_enum)]
    runtime: Option<RuntimeChoice>,

    /// Where the encoder runs [default: auto]
    #[arg(long, value_enum)]
    device: Option<DeviceChoice>,

    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, mut config: Config) -> anyhow::Result<ExitCode> {
    config.inference = config.inference.with(args.runtime, args.device);
    live::choose(&args.camera, &mut config);
    let sources = live::open(&config)?;
    let (models, runtime) = (Models::chosen(&config.models)?, Runtime::start(config.inference.runtime)?);
    let screen = Screen::serve(args.listen, GAPS).map_err(|error| {
        anyhow::anyhow!("{} cannot be listened on: {error}; name another (`--listen`)", args.listen)
    })?;
    tracing::info!("the screen: {}", screen.url);
    show(&screen.url, !args.no_open);
    let stop = stop_on_signal()?;
    let bar = progress_bar(args.seconds.as_secs(), "s");
    let parts = (&config, &models, &runtime);
    let figures = measure(sources, parts, &screen, args.seconds, &stop, |changes, passed| {
        bar.set_position(passed.as_secs());
        bar.set_message(format!("s, {changes} changes"));
    });
    bar.finish_and_clear();
    let figures = figures.map_err(cause)?;
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&figures)?)?,
        false => out.write_all(text(&figures).as_bytes())?,
    }
    if stop.is_requested() {
        return Ok(ExitCode::from(BROKEN_OFF));
    }
    if figures.changes == 0 {
        anyhow::bail!("the page {} was not open in a browser", screen.url);
    }
    if figures.changes <= LEARNT_FROM {
        anyhow::bail!("the first {LEARNT_FROM} changes of the screen are not timed: measure longer (`--seconds`)");
    }
    if figures.cameras.values().all(|seen| seen.changes == 0) {
        anyhow::bail!("no camera saw the screen change: bring it closer, or make the room darker");
    }
    Ok(ExitCode::SUCCESS)
}

fn text(figures: &GlassToResult) -> String {
    let header = ["ms", "seen", "contrast", "stamps", "to exposure p50", "p95", "to result p50", "p95", "p99"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(figures.cameras.iter().map(|(name, seen)| {
        let ms = |quantiles: &Option<Quantiles>, of: fn(&Quantiles) -> f64| {
            quantiles.as_ref().map_or_else(|| "–".to_owned(), |quantiles| format!("{:.1}", of(quantiles)))
        };
        let (capture, result) = (&seen.to_capture_ms, &seen.to_result_ms);
        [
            name.to_string(),
            seen.changes.to_string(),
            seen.contrast.map_or_else(|| "–".to_owned(), |contrast| format!("{contrast:.0}")),
            seen.stamp.name().to_owned(),
            ms(capture, |ms| ms.p50),
            ms(capture, |ms| ms.p95),
            ms(result, |ms| ms.p50),
            ms(result, |ms| ms.p95),
            ms(result, |ms| ms.p99),
        ]
    }));
    format!(
        "{}\n\n{} changes of the screen, one picture of which lasts {} ms; how long it then takes to light up is in all \
         figures.\n\
         Of the time to the result the pipeline itself took {} ms (p50).\n",
        lines(&rows, [true, false, false, true, false, false, false, false, false]).join("\n"),
        figures.changes,
        number(figures.screen_ms),
        number(figures.latency_ms.p50),
    )
}
