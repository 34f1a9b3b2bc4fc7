//! Runs of a take with a recorder, and what their recordings hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foxglove::Decode;
use foxglove::messages::CompressedImage;
use mcap::read::{LinearReader, Options};
use mcap::records::Record as McapRecord;
use vultus::capture::recording::Recording;
use vultus::capture::{Source, Stream};
use vultus::config::{Config, Record, RuntimeChoice};
use vultus::frame::StampKind;
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::pipeline::counters::Counters;
use vultus::pipeline::stop::Stop;
use vultus::pipeline::vision::Vision;
use vultus::pipeline::{self, Pacing, PipelineError, Plan};
use vultus::record::{About, Camera, Recorder};
use vultus::scene::Scene;
use vultus::time::Clock;

/// A replay of a take, with a recorder.
pub struct Run {
    pub recording: Recording,
    pub recorder: Recorder,
    pub runtime: RuntimeChoice,
    pub counters: Arc<Counters>,
    pub stop: Stop,
}

impl Run {
    /// Of the take, recorded to `folder` when asked to.
    pub fn of(take: &Path, folder: &Path) -> Self {
        Self::with(Recording::open(&[take.to_owned()], false).expect("a take"), folder)
    }

    /// The same of a take that is open.
    pub fn with(recording: Recording, folder: &Path) -> Self {
        let recorder = recorder(folder, &recording.sources);
        let counters = Arc::new(Counters::new(recording.sources.len()));
        Self { recording, recorder, runtime: RuntimeChoice::Tract, counters, stop: Stop::default() }
    }

    /// Runs as fast as it can; `publish` is told how many sets there were before, and the records.
    pub fn fast(self, publish: impl FnMut(u64, &[u8]) + Send) -> Result<(), PipelineError> {
        self.counted(None, publish)
    }

    /// The same at the take's own pace.
    pub fn at_its_own_pace(self, publish: impl FnMut(u64, &[u8]) + Send) -> Result<(), PipelineError> {
        self.paced(1.0, publish)
    }

    /// The same at `speed` times the take's own pace.
    pub fn paced(self, speed: f64, publish: impl FnMut(u64, &[u8]) + Send) -> Result<(), PipelineError> {
        self.counted(Some(speed), publish)
    }

    fn counted(self, speed: Option<f64>, mut publish: impl FnMut(u64, &[u8]) + Send) -> Result<(), PipelineError> {
        let mut sets = 0;
        self.run(speed, |_, lines| {
            publish(sets, lines);
            sets += 1;
        })
    }

    /// Runs, as fast as it can if no speed is given; `publish` is told the scene and its records.
    pub fn run(self, speed: Option<f64>, mut publish: impl FnMut(&Scene, &[u8]) + Send) -> Result<(), PipelineError> {
        let Self { recording, recorder, runtime, counters, stop } = self;
        let config = Config::default();
        let names: Vec<_> = recording.sources.iter().map(|source| source.stream().name.clone()).collect();
        let runtime = Runtime::start(runtime).expect("a runtime");
        let models = Models::load(None).expect("the built-in models");
        let vision = Vision::new(&config, &models, &runtime, names.len(), false).expect("the stages");
        let plan = Plan {
            pacing: speed
                .map_or(Pacing::AsFastAsPossible, |speed| Pacing::RealTime(Clock::replay(recording.starts_at, speed))),
            transport_allowance: Duration::from_millis(10),
            offsets_ns: names.iter().map(|_| 0).collect(),
            starts_at: recording.starts_at,
            ends_at: None,
            stop: &stop,
            counters: &counters,
            recorder: &recorder,
            as_recorded: None,
        };
        let mut lines = Vec::new();
        pipeline::run(recording.sources, vision, &plan, |scene| {
            lines.clear();
            scene.write_records(&names, &mut lines)?;
            recorder.scene(scene, &lines);
            publish(scene, &lines);
            Ok(())
        })
    }
}

/// A recorder of those cameras into `folder`.
pub fn recorder(folder: &Path, sources: &[Box<dyn Source>]) -> Recorder {
    let camera = |stream: &Stream| Camera {
        name: stream.name.clone(),
        description: stream.description.clone(),
        stamp: StampKind::Device,
        offset_ns: 1_500_000,
        period: stream.period,
    };
    let settings = Record { folder: folder.to_owned(), keep_free_mb: 10, ..Record::default() };
    let run = serde_json::json!({"vultus": "0.1.0", "models": {"a": "b"}, "rig": null});
    let cameras = sources.iter().map(|source| camera(source.stream())).collect();
    Recorder::new(settings, About { cameras, run, ..About::default() })
}

/// A message of a recording: topic, sequence, log and publish time, and the picture's or record's bytes.
pub type Message = (String, u32, u64, u64, Vec<u8>);

/// All whole chunks' messages, in the order of the file.
pub fn messages(file: &[u8]) -> Vec<Message> {
    let stream = mcap::MessageStream::new_with_options(file, Options::IgnoreEndMagic.into()).expect("an MCAP file");
    let whole = stream.map_while(Result::ok);
    whole
        .map(|message| {
            let topic = &message.channel.topic;
            let data = if topic.ends_with("/image") || topic.ends_with("/faces") {
                let image = CompressedImage::decode(&*message.data).expect("a CompressedImage");
                let stamp = image.timestamp.expect("a timestamp").total_nanos();
                assert_eq!((stamp, &*image.format), (message.publish_time, "jpeg"));
                assert!(topic.ends_with("/faces") || *topic == format!("/camera/{}/image", image.frame_id));
                image.data.to_vec()
            } else {
                message.data.into_owned()
            };
            (topic.clone(), message.sequence, message.log_time, message.publish_time, data)
        })
        .collect()
}

/// All metadata records of a recording, by name.
pub fn metadata(file: &[u8]) -> BTreeMap<String, BTreeMap<String, String>> {
    let records = LinearReader::new(file).expect("an MCAP file");
    let metadata = records.filter_map(|record| match record.expect("a record") {
        McapRecord::Metadata(metadata) => Some((metadata.name, metadata.metadata)),
        _ => None,
    });
    metadata.collect()
}
