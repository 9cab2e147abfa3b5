//! `--models-preset`: models with settings of their own, a section of a file each.

use std::collections::BTreeSet;

use super::{FlagError, Flags, Key, file, key, layers};

/// Keys of a section that are no options.
const ON_STARTUP: &str = "load-on-startup";
const STOP_TIMEOUT: &str = "stop-timeout";
const DEDUP: &str = "dedup-cache-models";
const VERSION: &str = "version";

/// Options of the whole server: those of a model cannot differ from the others'.
const WHOLE_SERVER: &[Key] = &[
    "--host",
    "--port",
    "--reuse-port",
    "--api-prefix",
    "--api-key",
    "--api-key-file",
    "--ssl-key-file",
    "--ssl-cert-file",
    "--cors-origins",
    "--cors-methods",
    "--cors-headers",
    "--cors-credentials",
    "-to",
    "--metrics",
    "--props",
    "--slots",
    "--slot-save-path",
    "--models-dir",
    "--models-preset",
    "--models-max",
    "--models-autoload",
    "--offline",
    "-hft",
    "-cram",
    "--warmup",
    "--sse-ping-interval",
    "--log-disable",
    "--log-file",
    "--log-jsonl",
    "--log-colors",
    "--log-prefix",
    "--log-timestamps",
    "-lv",
    "-v",
    "-h",
    "--version",
    "-cl",
    "--completion-bash",
    "--list-devices",
];

/// A model of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// The section: the model's name.
    pub name: String,
    /// What holds for it, with all that the command line says. Its warnings are those of the section alone.
    pub flags: Flags,
    /// It is loaded at once.
    pub on_startup: bool,
    /// Models with the same weights are not listed beside it.
    pub dedup: bool,
    /// The section as it was written.
    pub text: String,
}

/// The models of a file. The command line wins over the environment, that over the section, that over `[*]`, and that
/// over files of settings.
///
/// # Errors
/// With the first option that is unknown, incomplete or refused.
pub fn presets(
    arguments: &[String],
    environment: impl Fn(&str) -> Option<String>,
    files: &[&str],
    text: &str,
) -> Result<Vec<Preset>, FlagError> {
    let sections = file::sections(text).into_iter();
    let one = |name| preset(arguments, &environment, files, text, name);
    sections.map(one).collect()
}

fn preset(
    arguments: &[String],
    environment: impl Fn(&str) -> Option<String>,
    files: &[&str],
    text: &str,
    name: &str,
) -> Result<Preset, FlagError> {
    let (mut flags, mut set) = layers(arguments, environment)?;
    flags.warnings.clear();
    let mut preset = Preset {
        name: name.to_owned(),
        flags: Flags::default(),
        on_startup: false,
        dedup: false,
        text: String::new(),
    };
    let own: Vec<file::Line> = file::lines(text)
        .filter(|line| line.section == Some(name))
        .collect();
    for line in &own {
        preset.text += &format!("{} = {}\n", line.name, line.value);
    }
    let usual: Vec<file::Line> = file::lines(text).filter(file::Line::is_for_all).collect();
    // The weaker first, so that the section has the last word.
    for line in usual.iter().chain(&own) {
        preset.own_key(line)?;
    }
    for lines in [own, usual] {
        let kept = keep(lines, &mut flags)?;
        file::apply(kept, &mut set, &mut flags)?;
    }
    let told = std::mem::take(&mut flags.warnings);
    for file in files {
        file::apply(file::for_all(file), &mut set, &mut flags)?;
    }
    flags.warnings = told;
    flags.finish();
    preset.flags = flags;
    Ok(preset)
}

impl Preset {
    fn own_key(&mut self, line: &file::Line<'_>) -> Result<(), FlagError> {
        match line.name {
            ON_STARTUP => self.on_startup = line.switch()?,
            DEDUP => self.dedup = line.switch()?,
            _ => {}
        }
        Ok(())
    }
}

/// The options of a model. Others are told; what is none is refused.
fn keep<'a>(
    lines: Vec<file::Line<'a>>,
    flags: &mut Flags,
) -> Result<Vec<file::Line<'a>>, FlagError> {
    let mut kept = Vec::new();
    let mut told = BTreeSet::new();
    for line in lines {
        let without_effect = match (line.name, file::of_key(line.name)) {
            (ON_STARTUP | DEDUP | VERSION, _) => continue,
            (STOP_TIMEOUT, _) => "a model ends when the last of its answers has",
            (name, None) => return Err(FlagError::Unknown(name.to_owned())),
            (_, Some((row, _))) if WHOLE_SERVER.contains(&key(row)) => "it is of the whole server",
            _ => {
                kept.push(line);
                continue;
            }
        };
        if told.insert(line.name) {
            let warning = format!("{} has no effect here: {without_effect}", line.name);
            flags.warnings.push(warning);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::super::{Source, rows};
    use super::*;

    const FILE: &str = "version = 1\n; usual\n[*]\nc = 8192\ntemp = 0.5\n\n[org/tiny-GGUF:Q8_0]\ntemp = 0.2\n\
        [coder]\nmodel = ./models/coder.gguf\nchat-template-kwargs = {\"enable_thinking\": false}\n\
        load-on-startup = true\nLLAMA_ARG_CTX_SIZE = 512\nport = 1\nstop-timeout = 3\nno-jinja = on\n";

    fn read(arguments: &[&str], text: &str) -> Result<Vec<Preset>, FlagError> {
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        presets(&arguments, |_| None, &["threads = 3"], text)
    }

    #[test]
    fn sections_are_models() {
        let found = read(&[], FILE).unwrap();
        let names: Vec<&str> = found.iter().map(|preset| preset.name.as_str()).collect();
        assert_eq!(names, ["org/tiny-GGUF:Q8_0", "coder"]);
        let [tiny, coder] = &found[..] else { panic!() };
        let about = |preset: &Preset| {
            let flags = &preset.flags;
            (
                flags.context,
                flags.threads,
                flags.standing.settings["temperature"].as_f64(),
            )
        };
        assert_eq!(about(tiny), (Some(8192), Some(3), Some(0.2)));
        assert_eq!(about(coder), (Some(512), Some(3), Some(0.5)));
        assert_eq!(tiny.flags.source, None);
        assert_eq!(
            coder.flags.source,
            Some(Source::Path("./models/coder.gguf".into()))
        );
        assert_eq!(coder.flags.chats.variables["enable_thinking"], false);
        assert_eq!((tiny.on_startup, coder.on_startup), (false, true));
        assert_eq!(tiny.text, "temp = 0.2\n");
        assert!(tiny.flags.warnings.is_empty());
        assert_eq!(coder.flags.port, 8080);
        let told = coder.flags.warnings.join("\n");
        for part in ["port has no", "stop-timeout has no", "no-jinja has no"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn the_command_line_wins() {
        let found = read(&["-c", "64", "--temp", "0"], FILE).unwrap();
        for preset in found {
            assert_eq!(preset.flags.context, Some(64));
            assert_eq!(preset.flags.standing.settings["temperature"], 0.0);
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (text, problem) in [
            ("[a]\noops = 1", "invalid argument: oops"),
            ("[*]\noops = 1\n[a]", "invalid argument: oops"),
            ("[a]\nctx-size = x", "ctx-size"),
            ("[a]\nload-on-startup = perhaps", "load-on-startup"),
            ("[a]\nlora = x", "lora is not supported"),
        ] {
            let error = read(&[], text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
        assert_eq!(read(&[], "version = 1\n[*]\nc = 1"), Ok(Vec::new()));
    }

    #[test]
    fn options_of_the_server_are_options() {
        for name in WHOLE_SERVER {
            assert!(rows().any(|row| key(row) == *name), "{name}");
        }
    }
}
