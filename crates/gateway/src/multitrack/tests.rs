//! Requests in the shapes that OBS 30.2 and OBS 31.1 send, made from its public sources; no real OBS took part.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;
use crate::store::Store;

struct Bench {
    settings: Settings,
    key: String,
    _dir: tempfile::TempDir,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let key = store.add_key(&"studio".parse().unwrap()).unwrap();
    let gate = Gate {
        deny: Default::default(),
        allow: Default::default(),
        rules: Vec::new(),
        users: crate::config::UserAuth::Auto,
        user_app: String::new(),
        store,
        hooks: None,
    };
    let settings = Settings { gate: Arc::new(gate), rungs: Vec::new(), url: None, rtmp_port: 1935 };
    Bench { settings, key, _dir: dir }
}

/// As OBS 30.2 on Linux sends it.
fn request(key: &str) -> Value {
    json!({
        "service": "IVS",
        "schema_version": "2024-06-04",
        "authentication": key,
        "client": { "name": "obs-studio", "version": "30.2.3", "supported_codecs": ["h264", "av1", "h265"] },
        "capabilities": {
            "cpu": { "physical_cores": 8, "logical_cores": 16, "speed": 3600, "name": "Some Processor" },
            "memory": { "total": 34_283_012_096u64, "free": 20_000_000_000u64 },
            "gaming_features": null,
            "system": {
                "version": "6.8.0", "name": "Linux", "build": 0, "release": "24.04", "revision": "", "bits": 64,
                "arm": false, "armEmulation": false
            },
            "gpu": [{
                "model": "Some Card", "vendor_id": 4318, "device_id": 8708,
                "dedicated_video_memory": 8_000_000_000u64, "shared_system_memory": 0, "driver_version": null
            }]
        },
        "preferences": {
            "maximum_aggregate_bitrate": null, "maximum_video_tracks": null, "vod_track_audio": false,
            "width": 1920, "height": 1080, "framerate": { "numerator": 60, "denominator": 1 },
            "canvas_width": 1920, "canvas_height": 1080, "composition_gpu_index": 0
        }
    })
}

async fn ask(bench: &Bench, request: &Value) -> Value {
    let peer = SocketAddr::new(IpAddr::from([192, 0, 2, 7]), 4000);
    let body = serde_json::to_vec(request).unwrap();
    let answer = bench.settings.answer(peer, Some("live.example.org:8080"), &body).await;
    serde_json::to_value(answer).unwrap()
}

fn tracks(answer: &Value) -> Vec<(u64, u64)> {
    let encoders = answer["encoder_configurations"].as_array().unwrap();
    let row = |encoder: &Value| {
        (encoder["height"].as_u64().unwrap(), encoder["settings"]["bitrate"].as_u64().unwrap())
    };
    encoders.iter().map(row).collect()
}

#[tokio::test]
async fn a_whole_ladder_is_offered() {
    let bench = bench();
    let answer = ask(&bench, &request(&bench.key)).await;
    assert_eq!(answer["status"]["result"], "success", "{answer:#}");
    assert_eq!(answer["meta"]["schema_version"], "2024-06-04");
    assert!(!answer["meta"]["config_id"].as_str().unwrap().is_empty());
    assert_eq!(
        answer["ingest_endpoints"],
        json!([{ "protocol": "RTMP", "url_template": "rtmp://live.example.org/live/{stream_key}" }])
    );
    assert_eq!(tracks(&answer), [(1080, 7500), (720, 4500), (480, 2100), (360, 1200)]);
    let top = &answer["encoder_configurations"][0];
    assert_eq!(
        (&top["type"], &top["width"], &top["canvas_index"]),
        (&"obs_x264".into(), &1920.into(), &0.into())
    );
    assert_eq!(top["framerate"], json!({ "numerator": 60, "denominator": 1 }));
    assert_eq!(top["gpu_scale_type"], "OBS_SCALE_BICUBIC");
    assert_eq!(
        (&top["settings"]["keyint_sec"], &top["settings"]["rate_control"]),
        (&2.into(), &"CBR".into())
    );
    let live = &answer["audio_configurations"]["live"];
    assert_eq!(
        live,
        &json!([{ "codec": "ffmpeg_aac", "track_id": 1, "channels": 2, "settings": { "bitrate": 160 } }])
    );
    assert!(answer["audio_configurations"].get("vod").is_none());
    assert!(!answer.to_string().contains(&bench.key), "the key is not given back");
}

#[tokio::test]
async fn the_limits_of_obs_are_respected() {
    let bench = bench();
    for (limit_kbps, most, want) in [
        (Some(14_000), None, vec![(1080, 7500), (720, 4500), (480, 1840)]),
        (Some(8_000), None, vec![(1080, 7500)]),
        (Some(6_000), None, vec![(1080, 5840)]),
        (Some(4_000), None, vec![(720, 3840)]),
        (None, Some(2), vec![(1080, 7500), (720, 4500)]),
        (Some(200), None, vec![]),
        (Some(0), None, vec![]),
        (None, Some(0), vec![]),
    ] {
        let mut asked = request(&bench.key);
        asked["preferences"]["maximum_aggregate_bitrate"] = limit_kbps.into();
        asked["preferences"]["maximum_video_tracks"] = most.into();
        let answer = ask(&bench, &asked).await;
        assert_eq!(tracks(&answer), want, "{limit_kbps:?} {most:?}");
        let result = if want.is_empty() { "error" } else { "success" };
        assert_eq!(answer["status"]["result"], result);
        if let Some(limit) = limit_kbps {
            let sum: u64 = want.iter().map(|(_, kbps)| kbps).sum();
            assert!(want.is_empty() || sum + 160 <= limit);
        }
    }
}

#[tokio::test]
async fn canvases_of_newer_versions_are_read() {
    let bench = bench();
    let mut asked = request(&format!("studio?key={}", bench.key));
    let canvas = |width: u32, height: u32| {
        json!({ "width": width, "height": height, "canvas_width": width, "canvas_height": height,
                "framerate": { "numerator": 30000, "denominator": 1001 } })
    };
    asked["schema_version"] = "2025-01-25".into();
    asked["client"]["supported_encoders"] = json!(["obs_x264", "obs_nvenc_h264_tex"]);
    asked["preferences"] = json!({
        "maximum_aggregate_bitrate": null, "maximum_video_tracks": null, "vod_track_audio": true,
        "composition_gpu_index": null, "audio_samples_per_sec": 48000, "audio_channels": 1,
        "audio_max_buffering_ms": 960, "audio_fixed_buffering": false,
        "canvases": [canvas(1280, 720), canvas(720, 1280)]
    });
    let answer = ask(&bench, &asked).await;
    assert_eq!(answer["status"]["result"], "warning");
    assert_eq!(tracks(&answer), [(720, 3000), (480, 1400), (360, 800)]);
    assert_eq!(answer["encoder_configurations"][0]["type"], "obs_nvenc_h264_tex");
    assert_eq!(answer["audio_configurations"]["live"][0]["channels"], 1);
    assert_eq!(answer["audio_configurations"]["vod"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn refusals_have_the_form_that_obs_shows() {
    let mut bench = bench();
    for (asked, why) in [
        (request("wrong"), "Unknown stream key"),
        (json!({ "preferences": {} }), "not what OBS sends"),
        (json!({ "authentication": bench.key }), "picture size"),
        (json!([]), "not what OBS sends"),
    ] {
        let answer = ask(&bench, &asked).await;
        assert_eq!(answer["status"]["result"], "error");
        let html = answer["status"]["html_en_us"].as_str().unwrap();
        assert!(html.contains(why) && !html.contains('<'), "{html}");
        assert_eq!(answer["encoder_configurations"], json!([]));
    }
    let gate = Arc::get_mut(&mut bench.settings.gate).unwrap();
    gate.deny = "192.0.2.0/24".parse().unwrap();
    let answer = ask(&bench, &request(&bench.key)).await;
    assert!(answer["status"]["html_en_us"].as_str().unwrap().contains("address"));
}

#[test]
fn the_address_is_that_which_obs_asked() {
    let mut settings = bench().settings;
    for (host, want) in [
        ("live.example.org", Some("rtmp://live.example.org/live/{stream_key}")),
        ("192.0.2.1:8080", Some("rtmp://192.0.2.1/live/{stream_key}")),
        ("[2001:db8::1]:8080", Some("rtmp://[2001:db8::1]/live/{stream_key}")),
        ("[2001:db8::1]", Some("rtmp://[2001:db8::1]/live/{stream_key}")),
        ("evil/../x", None),
        ("user@host", None),
        ("", None),
    ] {
        assert_eq!(settings.url_template(Some(host)).as_deref(), want, "{host}");
    }
    assert_eq!(settings.url_template(None), None);
    settings.rtmp_port = 2935;
    assert_eq!(settings.url_template(Some("a:80")).unwrap(), "rtmp://a:2935/live/{stream_key}");
    settings.url = Some("rtmps://in.example.org/live/".to_owned());
    assert_eq!(settings.url_template(None).unwrap(), "rtmps://in.example.org/live/{stream_key}");
}

#[tokio::test]
async fn the_route_takes_posts_of_a_bounded_size_beside_the_others() {
    use axum::{body::Body, http};
    use tower::ServiceExt as _;

    let bench = bench();
    let key = bench.key.clone();
    let others = origin::router(origin::Library::new(), origin::Settings::default(), None);
    let app = others.merge(router(bench.settings));
    let call = |method: &str, body: Vec<u8>| {
        let mut request = http::Request::new(Body::from(body));
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = PATH.parse().unwrap();
        request.headers_mut().insert(header::HOST, "localhost:8080".parse().unwrap());
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
        let app = app.clone();
        async move { app.oneshot(request).await.unwrap().status() }
    };
    assert_eq!(call("POST", serde_json::to_vec(&request(&key)).unwrap()).await, http::StatusCode::OK);
    assert_eq!(call("POST", vec![b' '; REQUEST_MAX + 1]).await, http::StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(call("GET", Vec::new()).await, http::StatusCode::METHOD_NOT_ALLOWED);
}
