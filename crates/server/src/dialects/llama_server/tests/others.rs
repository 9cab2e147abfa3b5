use std::time::{Duration, SystemTime};

use hearth_engine::Normalization;
use serde_json::json;

use super::*;
use crate::core::request::Piece;
use crate::dialects::frame::Stamp;

#[test]
fn every_failure_in_llama_servers_words() {
    let text = str::to_owned;
    for (failure, code, kind, message) in [
        (
            Failure::UnknownModel(text("x")),
            404,
            "not_found_error",
            "model 'x' not found",
        ),
        (
            Failure::invalid("n", "must be 1"),
            400,
            "invalid_request_error",
            "n: must be 1",
        ),
        (
            Failure::Unsupported {
                model: text("m"),
                capability: "insert",
            },
            501,
            "not_supported_error",
            "\"m\" does not support insert",
        ),
        (
            Failure::Busy {
                retry_after: Duration::from_secs(1),
            },
            503,
            "unavailable_error",
            "server busy, please try again.  maximum pending requests exceeded",
        ),
        (
            Failure::Load(text("no memory")),
            500,
            "server_error",
            "no memory",
        ),
        (
            Failure::Template(text("bad")),
            400,
            "invalid_request_error",
            "bad",
        ),
        (Failure::Internal(text("oops")), 500, "server_error", "oops"),
        (Failure::Cancelled, 499, "server_error", "request canceled"),
    ] {
        let body = json!({"error": {"code": code, "message": message, "type": kind}});
        assert_eq!(error(&failure), (code, body));
    }
    let (status, body) = error(&Failure::Context {
        prompt: 9000,
        context: 4096,
    });
    let told = &body["error"];
    assert_eq!(
        (status, &told["type"]),
        (400, &json!("exceed_context_size_error"))
    );
    assert_eq!(
        (&told["n_prompt_tokens"], &told["n_ctx"]),
        (&json!(9000), &json!(4096))
    );
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("exceeds the available context size")
    );
    for ((status, body), code, message) in [
        (loading(), 503, "Loading model"),
        (not_found(), 404, "File Not Found"),
        (no_slot(), 503, "no slot available"),
        (
            switched_off("--metrics"),
            501,
            "This server does not support this endpoint. Start it with `--metrics`",
        ),
    ] {
        assert_eq!(
            (status, &body["error"]["code"], &body["error"]["message"]),
            (code, &json!(code), &json!(message))
        );
    }
}

#[test]
fn texts_and_tokens() {
    let asked = text::tokenize(body(json!({"content": "a", "with_pieces": true}))).unwrap();
    assert_eq!(
        asked,
        text::Tokenize {
            content: vec![Piece::Text("a".into())],
            add_special: false,
            parse_special: true,
            with_pieces: true,
            model: None,
        }
    );
    assert!(text::tokenize(Map::new()).unwrap().content.is_empty());
    assert_eq!(
        refused(text::tokenize(body(json!({"content": 3})))).0,
        "content"
    );
    let tokens = [(1, b"He".to_vec()), (2, vec![195])];
    assert_eq!(text::tokenized(&tokens, false), json!({"tokens": [1, 2]}));
    assert_eq!(
        text::tokenized(&tokens, true),
        json!({"tokens": [{"id": 1, "piece": "He"}, {"id": 2, "piece": [195]}]})
    );
    assert_eq!(
        text::detokenize(body(json!({"tokens": [1, 2.0]}))).unwrap(),
        (None, vec![1, 2])
    );
    assert_eq!(
        refused(text::detokenize(body(json!({"tokens": [1, -1]})))).0,
        "tokens[1]"
    );
    assert_eq!(text::detokenized(b"a\xc3"), json!({"content": "a\u{fffd}"}));
    assert_eq!(text::applied("p"), json!({"prompt": "p"}));
}

#[test]
fn vectors() {
    let asked =
        embedding::request(body(json!({"input": ["a", [1]], "embd_normalize": 0})), 2).unwrap();
    assert_eq!(
        (asked.inputs.len(), asked.norm),
        (2, Normalization::Largest)
    );
    assert_eq!(
        embedding::request(body(json!({"content": "a"})), 2)
            .unwrap()
            .norm,
        Normalization::Power(2)
    );
    assert_eq!(refused(embedding::request(Map::new(), 2)).0, "input");
    assert_eq!(
        refused(embedding::request(body(json!({"input": [[]]})), 2)).0,
        "input"
    );
    let any = embedding::request(body(json!({"input": "a", "embd_normalize": -7})), 2).unwrap();
    assert_eq!(any.norm, Normalization::None);
    assert_eq!(
        embedding::answer(&[vec![vec![1.0]], vec![vec![2.0], vec![3.0]]]),
        json!([{"index": 0, "embedding": [[1.0]]}, {"index": 1, "embedding": [[2.0], [3.0]]}])
    );
}

#[test]
fn ranks() {
    let stamp = Stamp {
        created: SystemTime::UNIX_EPOCH,
        id: "r1".into(),
    };
    let jina = json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}, "c"], "top_n": 2, "return_documents": true});
    let asked = rerank::request(body(jina)).unwrap();
    assert_eq!(asked.documents, ["a", "b", "c"]);
    assert_eq!(
        rerank::answer(&asked, &stamp, "m:latest", &[0.5, 0.25, 0.75], 12),
        json!({
            "id": "r1", "model": "m:latest", "object": "list", "usage": {"prompt_tokens": 12, "total_tokens": 12},
            "results": [
                {"index": 2, "relevance_score": 0.75, "document": {"text": "c"}},
                {"index": 0, "relevance_score": 0.5, "document": {"text": "a"}},
            ],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        })
    );
    let tei = rerank::request(body(
        json!({"query": "q", "texts": ["a", "b"], "return_text": true, "truncate": true}),
    ))
    .unwrap();
    assert!(tei.bare && !tei.raw_scores && tei.warnings.is_empty());
    assert_eq!(
        rerank::answer(&tei, &stamp, "m", &[0.5, 0.5], 2),
        json!([{"index": 0, "score": 0.5, "text": "a"}, {"index": 1, "score": 0.5, "text": "b"}])
    );
    for (extra, field) in [
        (json!({"documents": ["a"]}), "query"),
        (json!({"query": "q"}), "documents"),
        (json!({"query": "q", "documents": []}), "documents"),
        (json!({"query": "q", "texts": [1]}), "texts[0]"),
        (
            json!({"query": "q", "documents": [{"image": "x"}]}),
            "documents[0].text",
        ),
        (
            json!({"query": "q", "documents": ["a"], "top_n": 0}),
            "top_n",
        ),
    ] {
        assert_eq!(
            refused(rerank::request(body(extra.clone()))).0,
            field,
            "{extra}"
        );
    }
    let many = rerank::request(body(
        json!({"query": "q", "documents": ["a"], "top_n": 9, "oops": 1}),
    ))
    .unwrap();
    assert_eq!(
        (many.top, many.warnings),
        (1, vec!["oops is not known here".to_owned()])
    );
}

#[test]
fn states() {
    use control::SlotAction;
    let name = || body(json!({"filename": "x.bin"}));
    assert_eq!(
        control::slot_action(Some("save"), name()).unwrap(),
        SlotAction::Save("x.bin".into())
    );
    assert_eq!(
        control::slot_action(Some("restore"), name()).unwrap(),
        SlotAction::Restore("x.bin".into())
    );
    assert_eq!(
        control::slot_action(Some("erase"), Map::new()).unwrap(),
        SlotAction::Erase
    );
    assert_eq!(refused(control::slot_action(None, name())).0, "action");
    for bad in [
        "",
        "a/b",
        "..",
        "..\\x",
        "a\0",
        ".hidden",
        "x.",
        "a:b",
        &"x".repeat(256),
    ] {
        let asked = control::slot_action(Some("save"), body(json!({"filename": bad})));
        assert_eq!(refused(asked).0, "filename", "{bad}");
    }
    assert_eq!(
        control::saved(1, "x", 10, 99, 1.5),
        json!({"id_slot": 1, "filename": "x", "n_saved": 10, "n_written": 99, "timings": {"save_ms": 1.5}})
    );
    assert_eq!(
        control::restored(1, "x", 10, 99, 1.5),
        json!({"id_slot": 1, "filename": "x", "n_restored": 10, "n_read": 99, "timings": {"restore_ms": 1.5}})
    );
    assert_eq!(
        control::erased(1, 10),
        json!({"id_slot": 1, "n_erased": 10})
    );
    let idle = control::Slot {
        id: 0,
        context: 64,
        ..control::Slot::default()
    };
    let task = control::Task {
        id: 5,
        prompt: 9,
        read: 7,
        cached: 2,
        settings: json!({}),
        decoded: 3,
        remaining: None,
        new_line: true,
    };
    let busy = control::Slot {
        id: 1,
        busy: true,
        task: Some(task),
        ..idle.clone()
    };
    assert_eq!(
        control::slots(&[idle, busy]),
        json!([
            {"id": 0, "n_ctx": 64, "speculative": false, "is_processing": false},
            {
                "id": 1, "n_ctx": 64, "speculative": false, "is_processing": true, "id_task": 5, "n_prompt_tokens": 9,
                "n_prompt_tokens_processed": 7, "n_prompt_tokens_cache": 2, "params": {},
                "next_token": [{"has_next_token": true, "has_new_line": true, "n_remain": -1, "n_decoded": 3}],
            },
        ])
    );
}

#[test]
fn what_is_served() {
    assert_eq!(control::health(), json!({"status": "ok"}));
    assert_eq!(control::success(), json!({"success": true}));
    assert_eq!(control::adapters(), json!([]));
    assert!(control::scale_adapters(json!([{"id": 0, "scale": 0}])).is_ok());
    assert_eq!(
        refused(control::scale_adapters(json!([{"id": 0, "scale": 1}]))).0,
        "lora[0].id"
    );
    assert_eq!(refused(control::scale_adapters(json!({}))).0, "body");
    let model = control::Listed {
        id: "a".into(),
        aliases: vec!["a".into(), "b".into()],
        created: 7,
        meta: Some(control::Meta {
            n_ctx: 64,
            ..control::Meta::default()
        }),
        ..control::Listed::default()
    };
    let list = control::models(&[model]);
    assert_eq!(
        (&list["object"], &list["data"][0]["owned_by"]),
        (&json!("list"), &json!("llamacpp"))
    );
    assert_eq!(
        (&list["data"][0]["id"], &list["data"][0]["created"]),
        (&json!("a"), &json!(7))
    );
    assert_eq!(list["data"][0]["meta"]["n_ctx"], 64);
    assert_eq!(list["models"][0]["name"], "a");
    let told = control::props(&control::Props {
        context: 64,
        slots: 4,
        media_marker: "<__media_x__>".into(),
        tool_template: Some("t".into()),
        ..control::Props::default()
    });
    for name in [
        "default_generation_settings",
        "total_slots",
        "model_alias",
        "model_ftype",
        "model_path",
        "modalities",
        "media_marker",
        "endpoint_slots",
        "endpoint_props",
        "endpoint_metrics",
        "ui",
        "ui_settings",
        "chat_template",
        "chat_template_caps",
        "chat_template_tool_use",
        "bos_token",
        "eos_token",
        "build_info",
        "is_sleeping",
        "cors_proxy_enabled",
    ] {
        assert!(told.get(name).is_some(), "{name}");
    }
    assert_eq!(told["default_generation_settings"]["n_ctx"], 64);
    assert_eq!(told["media_marker"], "<__media_x__>");
}
