//! Built-in templates for checkpoints that carry none.
//!
//! [`detect`] chooses by the special tokens in the vocabulary, which say more than the family's
//! name: a fine-tune keeps the family and changes the tokens.

use crate::error::{Error, Result};

/// A built-in template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// Its name, for [`crate::Template::by_name`].
    pub name: &'static str,
    /// The tokens that tell that a model was trained on it; all must be in the vocabulary.
    pub tokens: &'static [&'static str],
    /// The families that may have these tokens with this meaning; empty for all.
    pub families: &'static [&'static str],
    /// The Jinja text.
    pub source: &'static str,
    /// Texts that end an assistant's turn, beyond the end token of the vocabulary.
    pub stops: &'static [&'static str],
}

/// All built-in templates, in the order in which [`detect`] tries them. Those without
/// tokens are chosen by name only; `plain` also where nothing else fits.
pub const BUILTIN: &[Builtin] = &[
    Builtin {
        name: "llama3",
        tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        families: &[],
        source: "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n\
            {{ message.content | trim }}<|eot_id|>{% endfor %}\
            {% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{{ '' }}{% endif %}",
        stops: &["<|eot_id|>", "<|eom_id|>"],
    },
    Builtin {
        name: "chatml",
        tokens: &["<|im_start|>", "<|im_end|>"],
        families: &[],
        source: "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{{ '' }}{% endfor %}\
            {% if add_generation_prompt %}<|im_start|>assistant\n{{ '' }}{% endif %}",
        stops: &["<|im_end|>"],
    },
    Builtin {
        name: "gemma",
        tokens: &["<start_of_turn>", "<end_of_turn>"],
        families: &[],
        // There is no system turn: its text begins the first turn of the user.
        source: "{{ bos_token }}{% set ns = namespace(system='') %}{% for message in messages %}\
            {% if message.role == 'system' %}{% set ns.system = ns.system + (message.content | trim) + '\\n\\n' %}\
            {% else %}<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n\
            {{ ns.system + (message.content | trim) }}<end_of_turn>\n{{ '' }}{% set ns.system = '' %}{% endif %}{% endfor %}\
            {% if add_generation_prompt %}<start_of_turn>model\n{{ '' }}{% endif %}",
        stops: &["<end_of_turn>"],
    },
    Builtin {
        name: "phi3",
        tokens: &["<|user|>", "<|assistant|>", "<|end|>"],
        families: &[],
        source: "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{{ '' }}{% endfor %}\
            {% if add_generation_prompt %}<|assistant|>\n{{ '' }}{% endif %}",
        stops: &["<|end|>", "<|endoftext|>"],
    },
    Builtin {
        name: "zephyr",
        tokens: &["<|user|>", "<|assistant|>"],
        // GLM has these tokens too, and writes its turns in another way.
        families: &["llama", "mistral", "stablelm"],
        source: "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}{{ eos_token }}\n{{ '' }}{% endfor %}\
            {% if add_generation_prompt %}<|assistant|>\n{{ '' }}{% endif %}",
        stops: &["<|user|>"],
    },
    Builtin {
        name: "mistral",
        tokens: &["[INST]", "[/INST]"],
        families: &[],
        source: "{{ bos_token }}{% set ns = namespace(system='') %}{% for message in messages %}\
            {% if message.role == 'system' %}{% set ns.system = ns.system + message.content + '\\n\\n' %}\
            {% elif message.role == 'assistant' %}{{ message.content }}{{ eos_token }}\
            {% else %}[INST]{{ ns.system + message.content }}[/INST]{% set ns.system = '' %}{% endif %}{% endfor %}",
        stops: &[],
    },
    Builtin {
        name: "llama2",
        // Its marks are ordinary text, so no token tells it from a base model.
        tokens: &[],
        families: &[],
        source: "{% set ns = namespace(system='') %}{% for message in messages %}\
            {% if message.role == 'system' %}{% set ns.system = '<<SYS>>\\n' + message.content + '\\n<</SYS>>\\n\\n' %}\
            {% elif message.role == 'assistant' %}{{ ' ' + (message.content | trim) + ' ' + eos_token }}\
            {% else %}{{ bos_token }}[INST] {{ ns.system + (message.content | trim) }} [/INST]{% set ns.system = '' %}{% endif %}{% endfor %}",
        stops: &[],
    },
    Builtin {
        name: "vicuna",
        tokens: &[],
        families: &[],
        source: "{{ bos_token }}{% for message in messages %}\
            {% if message.role == 'system' %}{{ message.content }}\n\n{{ '' }}\
            {% elif message.role == 'assistant' %}ASSISTANT: {{ message.content }}{{ eos_token }}\n{{ '' }}\
            {% else %}USER: {{ message.content }}\n{{ '' }}{% endif %}{% endfor %}\
            {% if add_generation_prompt %}ASSISTANT:{% endif %}",
        stops: &["USER:"],
    },
    Builtin {
        name: "alpaca",
        tokens: &[],
        families: &[],
        source: "{{ bos_token }}{% for message in messages %}\
            {% if message.role == 'system' %}{{ message.content }}\n\n{{ '' }}\
            {% elif message.role == 'assistant' %}### Response:\n{{ message.content }}{{ eos_token }}\n\n{{ '' }}\
            {% else %}### Instruction:\n{{ message.content }}\n\n{{ '' }}{% endif %}{% endfor %}\
            {% if add_generation_prompt %}### Response:\n{{ '' }}{% endif %}",
        stops: &["### Instruction:"],
    },
    PLAIN,
];

/// For models that were not trained to chat: a dialogue as it stands in books and transcripts. A
/// single message of a user is given as it is, so that the model continues it.
const PLAIN: Builtin = Builtin {
    name: "plain",
    tokens: &[],
    families: &[],
    source: "{{ bos_token }}{% if messages | length == 1 and messages[0].role == 'user' %}{{ messages[0].content }}\
        {% else %}{% for message in messages %}{% if message.role == 'system' %}{{ message.content }}\n\n{{ '' }}\
        {% else %}{{ message.role | capitalize }}: {{ message.content }}\n\n{{ '' }}{% endif %}{% endfor %}\
        {% if add_generation_prompt %}Assistant:{% endif %}{% endif %}",
    stops: &["\nUser:", "\nSystem:"],
};

/// The built-in template called `name`.
///
/// # Errors
///
/// [`Error::UnknownName`], with all names, where there is none.
pub fn by_name(name: &str) -> Result<&'static Builtin> {
    BUILTIN
        .iter()
        .find(|template| template.name == name)
        .ok_or_else(|| Error::UnknownName {
            name: name.to_owned(),
            known: BUILTIN
                .iter()
                .map(|template| template.name)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// The built-in template for a model without one: the first whose tokens are all in the
/// vocabulary, else `plain`. `family` is the architecture's name; `has_token` tells whether the
/// vocabulary has a token of exactly this text.
pub fn detect(has_token: &dyn Fn(&str) -> bool, family: &str) -> &'static Builtin {
    BUILTIN
        .iter()
        .filter(|template| !template.tokens.is_empty())
        .filter(|template| template.families.is_empty() || template.families.contains(&family))
        .find(|template| template.tokens.iter().all(|token| has_token(token)))
        .unwrap_or(&PLAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Request, SpecialTokens, Template};

    #[test]
    fn detects_by_tokens() {
        let cases: &[(&[&str], &str, &str)] = &[
            (
                &["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
                "qwen2",
                "chatml",
            ),
            (
                &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
                "llama",
                "llama3",
            ),
            (
                &["<start_of_turn>", "<end_of_turn>", "<bos>"],
                "gemma2",
                "gemma",
            ),
            (&["<|user|>", "<|assistant|>", "<|end|>"], "phi3", "phi3"),
            (&["<|user|>", "<|assistant|>"], "llama", "zephyr"),
            (&["[INST]", "[/INST]", "<s>", "</s>"], "llama", "mistral"),
            (&["<s>", "</s>", "<0x0A>"], "llama", "plain"),
            (&["<|user|>", "<|assistant|>"], "glm4", "plain"),
            (&["<|im_start|>"], "qwen2", "plain"),
            (&[], "gpt2", "plain"),
        ];
        for (tokens, family, expected) in cases {
            let found = detect(&|token| tokens.contains(&token), family);
            assert_eq!(found.name, *expected, "{tokens:?} {family}");
        }
    }

    #[test]
    fn renders_every_one() {
        let cases = [
            (
                "llama3",
                "<B><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            ),
            (
                "chatml",
                "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",
            ),
            (
                "gemma",
                "<B><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\nV<end_of_turn>\n<start_of_turn>model\n",
            ),
            (
                "phi3",
                "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n<|user|>\nV<|end|>\n<|assistant|>\n",
            ),
            (
                "zephyr",
                "<|system|>\nS<E>\n<|user|>\nU<E>\n<|assistant|>\nA<E>\n<|user|>\nV<E>\n<|assistant|>\n",
            ),
            ("mistral", "<B>[INST]S\n\nU[/INST]A<E>[INST]V[/INST]"),
            (
                "llama2",
                "<B>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A <E><B>[INST] V [/INST]",
            ),
            (
                "vicuna",
                "<B>S\n\nUSER: U\nASSISTANT: A<E>\nUSER: V\nASSISTANT:",
            ),
            (
                "alpaca",
                "<B>S\n\n### Instruction:\nU\n\n### Response:\nA<E>\n\n### Instruction:\nV\n\n### Response:\n",
            ),
            (
                "plain",
                "<B>S\n\nUser: U\n\nAssistant: A\n\nUser: V\n\nAssistant:",
            ),
        ];
        assert_eq!(cases.len(), BUILTIN.len());
        let tokens = SpecialTokens {
            bos: Some("<B>".into()),
            eos: Some("<E>".into()),
            ..Default::default()
        };
        let turns = [
            ("system", "S"),
            ("user", "U"),
            ("assistant", "A"),
            ("user", "V"),
        ];
        let request = Request {
            messages: turns.map(|(role, text)| Message::new(role, text)).into(),
            add_generation_prompt: true,
            ..Default::default()
        };
        for (name, expected) in cases {
            let template = Template::by_name(name, tokens.clone()).unwrap();
            assert_eq!(template.render(&request).unwrap(), expected, "{name}");
        }
        let single = Request {
            messages: vec![Message::new("user", "Once upon")],
            ..request
        };
        assert_eq!(
            Template::by_name("plain", tokens)
                .unwrap()
                .render(&single)
                .unwrap(),
            "<B>Once upon"
        );
        assert!(matches!(by_name("nope"), Err(Error::UnknownName { .. })));
    }
}
