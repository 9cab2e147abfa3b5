//! Requests on the built-in model, without HTTP.

use std::{collections::HashMap, ffi::OsString, sync::Arc, time::Duration};

use hearth_store::{Store, config::Settings};
use serde_json::{Value, json};

use super::{
    Event, Failure, Finish, Piece, Request, Service,
    models::{Config, Models},
    request::{Chat, Format, Input, KeepAlive, Limits, Load, Piece as Part, Sampling},
};
use crate::library::{Library, Means, Named};

fn library(directory: &std::path::Path) -> Library {
    let environment = HashMap::<&str, OsString>::new();
    Library::new(
        Store::new(directory),
        Settings::read(&|name| environment.get(name).cloned()).unwrap_or_default(),
    )
}

fn service(directory: &std::path::Path, config: Config) -> Service {
    Service::new(Models::new(library(directory), config))
}

fn config() -> Config {
    Config {
        context: Some(256),
        ..Config::default()
    }
}

fn settings(value: &Value) -> Sampling {
    Sampling {
        settings: value.as_object().unwrap().clone(),
        seed: Some(1),
        ..Sampling::default()
    }
}

fn request(input: Input, tokens: usize) -> Request {
    Request {
        model: "bard".to_owned(),
        input,
        sampling: settings(&json!({"temperature": 0.0})),
        limits: Limits {
            max_tokens: Some(tokens),
            ..Limits::default()
        },
        ..Request::default()
    }
}

fn text(text: &str) -> Input {
    Input::Plain(vec![Part::Text(text.to_owned())])
}

async fn all(service: &Service, request: Request) -> Result<Vec<Event>, Failure> {
    let mut generation = service.generate(request, 1).await?;
    let mut events = Vec::new();
    while let Some(event) = generation.events.recv().await {
        events.push(event);
    }
    Ok(events)
}

fn content(events: &[Event], of: usize) -> String {
    let pieces = events.iter().flat_map(|event| match event {
        Event::Delta { choice, pieces, .. } if *choice == of => pieces.as_slice(),
        _ => &[],
    });
    let text = pieces.map(|piece| match piece {
        Piece::Content(text) => text.as_str(),
        _ => "",
    });
    text.collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn an_answer_comes_in_order_and_says_what_it_took() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), config());
    runtime().block_on(async {
        let events = all(&service, request(text("ROMEO:"), 12)).await.unwrap();
        let Event::Started(started) = &events[0] else {
            panic!("{:?}", events[0]);
        };
        assert_eq!((started.model.as_str(), started.context), ("bard", 256));
        let [.., Event::End { outcome, choice: 0 }, Event::Done] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(
            (
                outcome.finish.clone(),
                outcome.tokens,
                outcome.dropped_tokens
            ),
            (Finish::Length, 12, 0)
        );
        assert!(outcome.ids.is_empty(), "nobody asked for them");
        let first = content(&events, 0);
        assert!(!first.is_empty());
        // Again: the same text, and the prompt is there already but for its last token.
        let mut again = request(text("ROMEO:"), 12);
        again.ids = true;
        let again = all(&service, again).await.unwrap();
        let ids = |event: &Event| match event {
            Event::End { outcome, .. } => Some(outcome.ids.len()),
            _ => None,
        };
        assert_eq!(again.iter().find_map(ids), Some(started.prompt_tokens + 12));
        assert_eq!(content(&again, 0), first);
        let Event::Started(started) = &again[0] else {
            panic!("{:?}", again[0]);
        };
        assert_eq!(started.cached_tokens, started.prompt_tokens - 1);
    });
}

#[test]
fn several_answers_share_a_prompt_and_differ() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), config());
    runtime().block_on(async {
        let mut request = request(text("To be, or"), 20);
        request.sampling = settings(&json!({"temperature": 1.5}));
        request.choices = 3;
        let events = all(&service, request).await.unwrap();
        let texts: Vec<String> = (0..3).map(|choice| content(&events, choice)).collect();
        assert!(texts[0] != texts[1] && texts[1] != texts[2], "{texts:?}");
        assert_eq!(
            events
                .iter()
                .filter(|event| matches!(event, Event::End { .. }))
                .count(),
            3
        );
        assert_eq!(
            events
                .iter()
                .filter(|event| matches!(event, Event::Started(_)))
                .count(),
            1
        );
        assert_eq!(events.last(), Some(&Event::Done));
    });
}

#[test]
fn what_cannot_be_is_refused_with_its_name_or_counts() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), config());
    runtime().block_on(async {
        let mut unknown = request(text("a"), 1);
        unknown.model = "no-such-model".to_owned();
        assert_eq!(all(&service, unknown).await, Err(Failure::UnknownModel("no-such-model".to_owned())));
        for path in ["/etc/passwd", "../../etc/passwd", "./bard", ""] {
            let mut unknown = request(text("a"), 1);
            unknown.model = path.to_owned();
            assert_eq!(all(&service, unknown).await, Err(Failure::UnknownModel(path.to_owned())));
        }
        let long = all(&service, request(text(&"word ".repeat(400)), 1)).await.unwrap_err();
        assert!(matches!(long, Failure::Context { prompt, context: 256 } if prompt >= 256), "{long:?}");
        let mut wrong = request(text("a"), 1);
        wrong.sampling = settings(&json!({"temperature": "hot"}));
        let wrong = all(&service, wrong).await.unwrap_err();
        assert!(matches!(&wrong, Failure::Invalid { field, .. } if field == "temperature"), "{wrong:?}");
        let image = serde_json::from_value(json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}));
        let chat = Chat { messages: vec![image.unwrap()], ..Chat::default() };
        let images = all(&service, request(Input::Chat(Box::new(chat)), 1)).await.unwrap_err();
        assert!(matches!(images, Failure::Unsupported { capability: "images", .. }), "{images:?}");
    });
}

#[test]
fn a_long_conversation_loses_its_oldest_turns_only_where_that_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), config());
    runtime().block_on(async {
        let turn =
            |role: &str, n: usize| hearth_chat::Message::new(role, format!("turn {n} ").repeat(8));
        let messages = (0..21)
            .map(|n| turn(if n % 2 == 0 { "user" } else { "assistant" }, n))
            .collect();
        let chat = Chat {
            messages,
            ..Chat::default()
        };
        let mut request = request(Input::Chat(Box::new(chat)), 2);
        let refused = all(&service, request.clone()).await.unwrap_err();
        assert!(matches!(refused, Failure::Context { .. }), "{refused:?}");
        request.overflow.truncate = true;
        let events = all(&service, request).await.unwrap();
        let Event::Started(started) = &events[0] else {
            panic!("{:?}", events[0]);
        };
        assert!(
            started.dropped_messages > 0 && started.prompt_tokens < 256,
            "{started:?}"
        );
        assert!(started.prompt.contains("turn 20") && !started.prompt.contains("turn 0 "));
    });
}

#[test]
fn whoever_leaves_gives_the_model_back() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(
        directory.path(),
        Config {
            context: Some(4096),
            ..config()
        },
    );
    runtime().block_on(async {
        let mut endless = request(text("Once"), 4000);
        endless.limits.ignore_end = true;
        for _ in 0..3 {
            let mut generation = service.generate(endless.clone(), 1).await.unwrap();
            generation.events.recv().await.unwrap();
            drop(generation);
        }
        let model = &service.models().loaded()[0];
        tokio::time::timeout(Duration::from_secs(20), async {
            while model.runner.status().running > 0 || model.runner.status().waiting > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        let status = model.runner.status();
        assert_eq!(
            (status.running, status.waiting, status.own_pages),
            (0, 0, 0)
        );
    });
}

#[test]
fn models_stay_as_long_as_they_are_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), config());
    runtime().block_on(async {
        tokio::spawn(service.models().clone().reap());
        let load = |keep_alive| Load {
            keep_alive: Some(keep_alive),
            ..Load::default()
        };
        let lease = service
            .models()
            .acquire("bard", &load(KeepAlive::Forever))
            .await
            .unwrap();
        assert_eq!(lease.expires(), None, "somebody has it");
        drop(lease);
        assert_eq!(
            service.models().loaded()[0].expires(),
            None,
            "it stays for ever"
        );
        // A larger context loads it anew; a smaller one takes what is there.
        let wide = Load {
            context: Some(300),
            ..Load::default()
        };
        let lease = service.models().acquire("bard", &wide).await.unwrap();
        assert_eq!(lease.engine().context(), 300);
        drop(lease);
        let narrow = Load {
            context: Some(100),
            ..load(KeepAlive::For(Duration::ZERO))
        };
        let lease = service
            .models()
            .acquire("bard:latest", &narrow)
            .await
            .unwrap();
        assert_eq!(
            (lease.engine().context(), service.models().loaded().len()),
            (300, 1)
        );
        drop(lease);
        tokio::time::timeout(Duration::from_secs(20), async {
            while !service.models().loaded().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        assert!(!service.models().unload("bard").await.unwrap());
    });
}

/// Models that know the built-in one under three names.
fn three(directory: &std::path::Path, memory: Option<usize>) -> Arc<Models> {
    let named = |title: &str| Named {
        title: title.to_owned(),
        aliases: Vec::new(),
        means: Means::Called(vec!["bard".parse().unwrap()]),
        sets: Arc::default(),
    };
    let mut library = library(directory);
    library.named = Arc::new(["one", "two", "three"].map(named).into());
    Models::new(library, Config { memory, ..config() })
}

#[test]
fn what_was_used_least_recently_makes_room_and_what_is_in_use_does_not() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let load = Load::default();
        let (weights, size) = {
            let models = three(directory.path(), None);
            let lease = models.acquire("one", &load).await.unwrap();
            (models.find("one").await.unwrap().size(), lease.size())
        };
        // Two and no third.
        let models = three(directory.path(), Some(2 * size + weights - 1));
        let loaded = || {
            let loaded = models.loaded();
            let mut titles: Vec<String> = loaded.iter().map(|m| m.title().to_owned()).collect();
            titles.sort();
            titles.join(" ")
        };
        for name in ["one", "two", "one"] {
            drop(models.acquire(name, &load).await.unwrap());
        }
        assert_eq!(loaded(), "one two");
        let three = models.acquire("three", &load).await.unwrap();
        assert_eq!(loaded(), "one three");
        drop(models.acquire("one", &load).await.unwrap());
        drop(models.acquire("two", &load).await.unwrap());
        assert_eq!(loaded(), "three two");
        drop(three);
    });
}

#[test]
fn as_many_texts_are_under_way_as_memory_allows() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let text = {
            let models = three(directory.path(), None);
            let lease = models.acquire("one", &Load::default()).await.unwrap();
            lease.engine().model().text_bytes(256)
        };
        // Half of the memory is for texts.
        for (memory, parallel) in [(0, 1), (2 * 8 * text, 8), (usize::MAX, 64)] {
            let models = three(directory.path(), Some(memory));
            let lease = models.acquire("one", &Load::default()).await.unwrap();
            assert_eq!(lease.runner.parallel(), parallel, "{memory}");
        }
    });
}

#[tokio::test]
async fn a_context_that_no_memory_holds_is_the_requests_fault() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), config());
    let mut asked = request(text("Once"), 1);
    asked.load.context = Some(1 << 53);
    match all(&service, asked).await {
        Err(Failure::Invalid { field, .. }) => assert_eq!(field, "num_ctx"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_schema_asks_for_and_is_not_kept_is_told_before_and_in_the_first_event() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), config());
    runtime().block_on(async {
        let mut request = request(text("A list: "), 4);
        let schema = json!({"type": "array", "items": {"type": "boolean"}, "uniqueItems": true});
        request.format = Some(Format::Schema(schema));
        let mut generation = service.generate(request, 1).await.unwrap();
        let expected = ["ignored: `uniqueItems` at #"];
        assert_eq!(generation.warnings, expected);
        let Some(Event::Started(started)) = generation.events.recv().await else {
            panic!("no beginning");
        };
        assert_eq!(started.warnings, expected);
    });
}
