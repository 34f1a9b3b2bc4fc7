//! What an answer looks like: its keys, and of what kind their values are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// `/api/state` as docs/reference has it: the same keys, and values of the same kinds.
pub fn of_state() -> Value {
    let times = json!({"p50": 1.1, "p95": 1.1, "p99": 1.1, "max": 1.1});
    let names = ["decode", "detect", "track", "align", "encode", "fuse", "latency", "wait", "age", "skew"];
    let times: serde_json::Map<_, _> = names.map(|name| (name.to_owned(), times.clone())).into_iter().collect();
    let dropped = json!({"late": 1, "corrupt": 0, "stale": 2, "ring_full": 0, "record": 0});
    let camera = json!({
        "name": "cam0", "description": "", "state": "on", "fps": 29.9, "received": 1234, "dropped": dropped,
        "without_set": 3, "stalls": 0, "losses": 0, "reopen_attempts": 0
    });
    json!({
        "vultus": "0.1.0", "run": "5f2c", "source": "live", "uptime_s": 12.3, "runtime": "ort", "device": "cpu", "device_reason": "no GPU is found in this machine", "lost_device": null,
        "models": {"vultus-slim": "0a1b2c3d", "yunet_2023mar": "e9a42f02"}, "clock": "device", "identity": "appearance", "rig": null, "drift": null,
        "cameras": [camera, camera, camera, camera],
        "sets": {"formed": 1200, "analysed": 1190, "stale": 10, "per_s": 29.7, "period_ms": 33.3},
        "times_ms": times,
        "page": {"watchers": 1, "pictures_per_s": 14.9, "at_most_per_s": 15.0, "cpu_percent": null},
        "recording": {
            "state": "off", "content": "video", "file": null, "seconds": 12.0, "bytes": 1234, "dropped": 0, "left_s": null,
            "free_bytes": null, "error": null
        }
    })
}

/// The same keys all the way down, and values of the same kinds; null stands for anything. Only the views of a record,
/// and the pictures that they come from, may be more or fewer.
pub fn assert_like(value: &Value, pattern: &Value, place: &str) {
    match (value, pattern) {
        (_, Value::Null) | (Value::Number(_), Value::Number(_)) | (Value::String(_), Value::String(_)) => {}
        (Value::Object(value), Value::Object(_)) if place.ends_with(".frames") => {
            assert!(value.values().all(Value::is_u64), "{place}");
        }
        (Value::Object(value), Value::Object(pattern)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(keys(value), keys(pattern), "{place}");
            for (key, pattern) in pattern {
                assert_like(&value[key], pattern, &format!("{place}.{key}"));
            }
        }
        (Value::Array(values), Value::Array(patterns)) => {
            assert!(values.len() == patterns.len() || place.ends_with(".views"), "{place}: {values:?}");
            for (n, value) in values.iter().enumerate() {
                patterns.first().into_iter().for_each(|pattern| assert_like(value, pattern, &format!("{place}[{n}]")));
            }
        }
        _ => panic!("{place} is {value}, and should be like {pattern}"),
    }
}
