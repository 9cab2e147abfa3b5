//! Options of the server.

use std::path::PathBuf;
use std::time::Duration;

use hearth_model::Pooling;
use serde_json::Value;

use super::given::{Given, switch};
use super::{Effect, Flags, Row, pair, plain, takes};
use crate::core::request::Think;
use crate::dialects::llama_server::chat::ReasoningFormat;

use Effect::{Do, Nothing, Refused};

const PAGES: Effect =
    Nothing("prefixes of all requests are kept in pages, as far as memory reaches");
const PLAIN_PICTURES: Effect = Nothing("pictures are not read");
const NO_PICTURES: Effect = Refused("pictures are not read: serve the model without its projector");
const NO_PAGES: Effect = Nothing("there are no pages for browsers here");
const NO_TOOLS: Effect = Refused("this server runs no tools: a client does");
const PRESET: Effect = Refused("pull the model it stands for, and name that");

/// Sets a path.
macro_rules! path {
    ($field:ident) => {
        Do(|flags, given| {
            flags.$field = Some(PathBuf::from(given.text()));
            Ok(())
        })
    };
}

/// Sets whether it is on.
macro_rules! flag {
    ($($field:ident).+) => {
        Do(|flags, given| {
            flags.$($field).+ = given.on;
            Ok(())
        })
    };
}

/// Sets a list of words.
macro_rules! list {
    ($field:ident) => {
        Do(|flags, given| {
            let list = given.list();
            flags.$field = list.into_iter().map(|it| it.trim().to_owned()).collect();
            Ok(())
        })
    };
}

pub(super) const ROWS: &[Row] = &[
    takes(&["--kv-unified-per-slot"], "KV_UNIFIED_PER_SLOT", PAGES),
    takes(
        &["-ctxcp", "--ctx-checkpoints", "--swa-checkpoints"],
        "CTX_CHECKPOINTS",
        PAGES,
    ),
    takes(
        &["-cms", "--checkpoint-min-step"],
        "CHECKPOINT_MIN_SPACING_NT",
        PAGES,
    ),
    takes(
        &["-cram", "--cache-ram"],
        "CACHE_RAM",
        Do(|flags, given| {
            let bytes = |mebibytes: usize| mebibytes.saturating_mul(1 << 20);
            flags.history = Some(given.count()?.map_or(usize::MAX, bytes));
            Ok(())
        }),
    ),
    pair(
        &["-kvu", "--kv-unified"],
        &["-no-kvu", "--no-kv-unified"],
        "KV_UNIFIED",
        PAGES,
    ),
    pair(
        &["--cache-idle-slots"],
        &["--no-cache-idle-slots"],
        "CACHE_IDLE_SLOTS",
        PAGES,
    ),
    pair(
        &["--context-shift"],
        &["--no-context-shift"],
        "CONTEXT_SHIFT",
        flag!(standing.shift),
    ),
    takes(
        &["-r", "--reverse-prompt"],
        "",
        Do(|flags, given| {
            flags.standing.stops.push(given.text().to_owned());
            Ok(())
        }),
    ),
    plain(
        &["-sp", "--special"],
        "",
        Refused("special tokens are never printed: /tokenize shows them"),
    ),
    pair(&["--warmup"], &["--no-warmup"], "", flag!(warm_up)),
    plain(
        &["--spm-infill"],
        "",
        Do(|flags, _| {
            flags.standing.suffix_first = true;
            Ok(())
        }),
    ),
    takes(
        &["--pooling"],
        "POOLING",
        Do(|flags, given| {
            use Pooling::{Cls, Last, Mean, None, Rank};
            let words = [None, Mean, Cls, Last, Rank].map(|pooling| (pooling.name(), pooling));
            let pooling = given.word(&words)?;
            flags.pooling = Some(pooling);
            flags.rerank |= pooling == Rank;
            Ok(())
        }),
    ),
    takes(
        &["-np", "--parallel"],
        "N_PARALLEL",
        Do(|flags, given| {
            flags.parallel = given.count()?.filter(|it| *it > 0);
            Ok(())
        }),
    ),
    pair(
        &["-cb", "--cont-batching"],
        &["-nocb", "--no-cont-batching"],
        "CONT_BATCHING",
        Nothing("requests always share the steps"),
    ),
    takes(&["-mm", "--mmproj"], "MMPROJ", NO_PICTURES),
    takes(&["-mmu", "--mmproj-url"], "MMPROJ_URL", NO_PICTURES),
    pair(
        &["--mmproj-auto"],
        &["--no-mmproj", "--no-mmproj-auto"],
        "MMPROJ_AUTO",
        PLAIN_PICTURES,
    ),
    pair(
        &["--mmproj-offload"],
        &["--no-mmproj-offload"],
        "MMPROJ_OFFLOAD",
        PLAIN_PICTURES,
    ),
    takes(
        &["-mmdev", "--mmproj-device"],
        "MTMD_BACKEND_DEVICE",
        PLAIN_PICTURES,
    ),
    takes(&["--image-min-tokens"], "IMAGE_MIN_TOKENS", PLAIN_PICTURES),
    takes(&["--image-max-tokens"], "IMAGE_MAX_TOKENS", PLAIN_PICTURES),
    takes(
        &["--mtmd-batch-max-tokens"],
        "MTMD_BATCH_MAX_TOKENS",
        PLAIN_PICTURES,
    ),
    takes(&["--video-fps"], "VIDEO_FPS", PLAIN_PICTURES),
    takes(
        &["--video-timestamp-interval"],
        "VIDEO_TIMESTAMP_INTERVAL",
        PLAIN_PICTURES,
    ),
    takes(&["--video-ffmpeg-dir"], "VIDEO_FFMPEG_DIR", PLAIN_PICTURES),
    takes(&["-a", "--alias"], "ALIAS", list!(aliases)),
    takes(&["--tags"], "TAGS", list!(tags)),
    takes(
        &["--embd-normalize"],
        "",
        Do(|flags, given| {
            flags.normalize = given.whole(-1, i64::from(i32::MAX))?;
            Ok(())
        }),
    ),
    takes(&["--host"], "HOST", Do(hosts)),
    takes(
        &["--port"],
        "PORT",
        Do(|flags, given| {
            flags.port = given.whole(0, i64::from(u16::MAX))? as u16;
            Ok(())
        }),
    ),
    plain(&["--reuse-port"], "REUSE_PORT", flag!(reuse_port)),
    takes(
        &["--path"],
        "STATIC_PATH",
        Refused("this server serves no files"),
    ),
    takes(
        &["--cors-origins"],
        "CORS_ORIGINS",
        Do(|flags, given| {
            let list = given.list().into_iter();
            flags.cors_origins = Some(list.map(|it| it.trim().to_owned()).collect());
            Ok(())
        }),
    ),
    takes(&["--cors-methods"], "CORS_METHODS", list!(cors_methods)),
    takes(&["--cors-headers"], "CORS_HEADERS", list!(cors_headers)),
    pair(
        &["--cors-credentials"],
        &["--no-cors-credentials"],
        "CORS_CREDENTIALS",
        flag!(cors_credentials),
    ),
    takes(&["--api-prefix"], "API_PREFIX", Do(prefix)),
    takes(&["--ui-config", "--webui-config"], "UI_CONFIG", NO_PAGES),
    takes(
        &["--ui-config-file", "--webui-config-file"],
        "UI_CONFIG_FILE",
        NO_PAGES,
    ),
    pair(
        &["--ui-mcp-proxy", "--webui-mcp-proxy"],
        &["--no-ui-mcp-proxy", "--no-webui-mcp-proxy"],
        "UI_MCP_PROXY",
        NO_TOOLS,
    ),
    takes(&["--tools"], "TOOLS", NO_TOOLS),
    takes(&["--tools-runtime"], "TOOLS_RUNTIME", NO_TOOLS),
    takes(&["--mcp-servers-config"], "MCP_SERVERS_CONFIG", NO_TOOLS),
    takes(&["--mcp-servers-json"], "MCP_SERVERS_JSON", NO_TOOLS),
    pair(
        &["-ag", "--agent"],
        &["-no-ag", "--no-agent"],
        "AGENT",
        NO_TOOLS,
    ),
    pair(
        &["--ui", "--webui"],
        &["--no-ui", "--no-webui"],
        "UI",
        NO_PAGES,
    ),
    plain(
        &["--embedding", "--embeddings"],
        "EMBEDDINGS",
        flag!(embeddings),
    ),
    plain(&["--rerank", "--reranking"], "RERANKING", flag!(rerank)),
    takes(&["--api-key"], "LLAMA_API_KEY", list!(api_keys)),
    takes(&["--api-key-file"], "API_KEY_FILE", path!(api_key_file)),
    takes(&["--ssl-key-file"], "SSL_KEY_FILE", path!(tls_key)),
    takes(
        &["--ssl-cert-file"],
        "SSL_CERT_FILE",
        path!(tls_certificate),
    ),
    takes(
        &["--chat-template-kwargs"],
        "CHAT_TEMPLATE_KWARGS",
        Do(variables),
    ),
    takes(
        &["-to", "--timeout"],
        "TIMEOUT",
        Do(|flags, given| {
            flags.timeout =
                Duration::from_secs(given.whole(1, i64::from(i32::MAX))?.unsigned_abs());
            Ok(())
        }),
    ),
    takes(
        &["--sse-ping-interval"],
        "SSE_PING_INTERVAL",
        Do(|flags, given| {
            flags.standing.ping = seconds(given)?;
            Ok(())
        }),
    ),
    takes(
        &["--threads-http"],
        "THREADS_HTTP",
        Nothing("connections wait without threads of their own"),
    ),
    pair(
        &["--cache-prompt"],
        &["--no-cache-prompt"],
        "CACHE_PROMPT",
        PAGES,
    ),
    takes(&["--cache-reuse"], "CACHE_REUSE", PAGES),
    plain(&["--metrics"], "ENDPOINT_METRICS", flag!(metrics)),
    plain(&["--props"], "ENDPOINT_PROPS", flag!(props)),
    pair(
        &["--slots"],
        &["--no-slots"],
        "ENDPOINT_SLOTS",
        flag!(slots),
    ),
    takes(&["--slot-save-path"], "", path!(slot_directory)),
    takes(&["--media-path"], "", PLAIN_PICTURES),
    takes(&["--models-dir"], "MODELS_DIR", path!(models_folder)),
    takes(&["--models-preset"], "MODELS_PRESET", path!(presets_file)),
    takes(
        &["--models-max"],
        "MODELS_MAX",
        Do(|flags, given| {
            flags.models_max = given.count()?;
            Ok(())
        }),
    ),
    pair(
        &["--models-autoload"],
        &["--no-models-autoload"],
        "MODELS_AUTOLOAD",
        flag!(autoload),
    ),
    pair(
        &["--jinja"],
        &["--no-jinja"],
        "JINJA",
        Nothing("the model's template is always used"),
    ),
    takes(&["--reasoning-format"], "THINK", Do(reasoning_format)),
    takes(&["-rea", "--reasoning"], "REASONING", Do(reasoning)),
    takes(&["--reasoning-effort"], "REASONING_EFFORT", Do(effort)),
    takes(
        &["--reasoning-budget"],
        "THINK_BUDGET",
        Do(|flags, given| {
            flags.chats.budget = given.count()?;
            Ok(())
        }),
    ),
    takes(
        &["--reasoning-budget-message"],
        "THINK_BUDGET_MESSAGE",
        Do(|flags, given| {
            flags.chats.budget_message = given.text().to_owned();
            Ok(())
        }),
    ),
    pair(
        &["--reasoning-preserve"],
        &["--no-reasoning-preserve"],
        "REASONING_PRESERVE",
        Nothing("the template decides which thoughts stay"),
    ),
    takes(&["--chat-template"], "CHAT_TEMPLATE", Do(template)),
    takes(
        &["--chat-template-file"],
        "CHAT_TEMPLATE_FILE",
        path!(template_file),
    ),
    pair(
        &["--skip-chat-parsing"],
        &["--no-skip-chat-parsing"],
        "SKIP_CHAT_PARSING",
        flag!(chats.unparsed),
    ),
    pair(
        &["--prefill-assistant"],
        &["--no-prefill-assistant"],
        "PREFILL_ASSISTANT",
        Do(|flags, given| {
            flags.chats.no_prefill = !given.on;
            Ok(())
        }),
    ),
    takes(&["-sps", "--slot-prompt-similarity"], "", PAGES),
    plain(
        &["--lora-init-without-apply"],
        "",
        Nothing("adapters are part of a model"),
    ),
    takes(
        &["--sleep-idle-seconds"],
        "",
        Do(|flags, given| {
            flags.idle = seconds(given)?;
            Ok(())
        }),
    ),
    takes(
        &["--log-prompts-dir"],
        "",
        Refused("prompts are never written down"),
    ),
    plain(&["--embd-gemma-default"], "", PRESET),
    plain(&["--fim-qwen-1.5b-default"], "", PRESET),
    plain(&["--fim-qwen-3b-default"], "", PRESET),
    plain(&["--fim-qwen-7b-default"], "", PRESET),
    plain(&["--fim-qwen-7b-spec"], "", PRESET),
    plain(&["--fim-qwen-14b-spec"], "", PRESET),
    plain(&["--fim-qwen-30b-default"], "", PRESET),
    plain(&["--gpt-oss-20b-default"], "", PRESET),
    plain(&["--gpt-oss-120b-default"], "", PRESET),
    plain(&["--vision-gemma-4b-default"], "", PRESET),
    plain(&["--vision-gemma-12b-default"], "", PRESET),
];

/// A time; none where it is not more than 0.
fn seconds(given: &Given) -> Result<Option<Duration>, String> {
    let count = given.count()?.filter(|it| *it > 0);
    Ok(count.map(|it| Duration::from_secs(it as u64)))
}

fn hosts(flags: &mut Flags, given: &Given) -> Result<(), String> {
    let hosts: Vec<String> = given
        .list()
        .into_iter()
        .map(|it| it.trim().to_owned())
        .collect();
    if hosts.is_empty() {
        return Err("an address was expected, found nothing".to_owned());
    }
    flags.hosts = hosts;
    Ok(())
}

/// Begins with a slash and ends without one.
fn prefix(flags: &mut Flags, given: &Given) -> Result<(), String> {
    let path = given.text().trim_matches('/');
    flags.prefix = if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    };
    Ok(())
}

fn variables(flags: &mut Flags, given: &Given) -> Result<(), String> {
    match serde_json::from_str(given.text()) {
        Ok(Value::Object(map)) => {
            flags.chats.variables = map;
            Ok(())
        }
        Ok(other) => Err(format!("a JSON object was expected, found {other}")),
        Err(error) => Err(format!("a JSON object was expected: {error}")),
    }
}

fn reasoning_format(flags: &mut Flags, given: &Given) -> Result<(), String> {
    let words = ["none", "auto", "deepseek", "deepseek-legacy"]
        .map(|word| (word, ReasoningFormat::parse(word).unwrap_or_default()));
    flags.chats.reasoning = given.word(&words)?;
    Ok(())
}

fn reasoning(flags: &mut Flags, given: &Given) -> Result<(), String> {
    flags.chats.think = match (given.text(), switch(given.text())) {
        ("auto", _) => Think::Default,
        (_, Some(true)) => Think::IfPossible(None),
        (_, Some(false)) => Think::Off,
        (other, None) => return Err(format!("on, off or auto was expected, found '{other}'")),
    };
    Ok(())
}

fn effort(flags: &mut Flags, given: &Given) -> Result<(), String> {
    flags.chats.think = match given.text() {
        "none" => Think::Off,
        "default" => Think::Default,
        level => Think::IfPossible(Some(level.to_owned())),
    };
    Ok(())
}

/// The text of a template; names stand for ones that llama.cpp has built in.
fn template(flags: &mut Flags, given: &Given) -> Result<(), String> {
    let text = given.text();
    let is_source = text.contains("{{") || text.contains("{%");
    flags.chats.template = Some(match is_source {
        true => text.to_owned(),
        false => {
            let named = hearth_chat::fallback::by_name(text).map_err(|error| error.to_string())?;
            named.source.to_owned()
        }
    });
    Ok(())
}
