//! What is left to do once a verb has been carried, or not.

use bytes::Bytes;

use crate::failed::Failed;

/// How this process ends.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Nothing was done: the TypeScript CLI does all of it.
    HandOver,
    /// All is done. `note` is a line for stderr that somebody else wrote; mostly there is none.
    Exit { code: i32, note: String },
    /// All is done but for the words, which the TypeScript CLI has.
    Tell(Words),
}

impl Outcome {
    pub fn exit(code: i32) -> Self {
        Self::Exit {
            code,
            note: String::new(),
        }
    }

    /// A call failed, and is not made again. `remove` names a VM that shall go with it.
    pub fn failed(method: &str, failed: Failed, remove: Option<String>) -> Self {
        if failed.is_silent {
            return Self::told(&["__call-failed", "--silent"], method, failed, None);
        }
        Self::told(&["__call-failed"], method, failed, remove)
    }

    /// kilnd went away during a call and did not come back.
    pub fn deserted(method: &str, failed: Failed) -> Self {
        Self::told(&["__call-failed", "--lost"], method, failed, None)
    }

    fn told(words: &[&str], method: &str, failed: Failed, remove: Option<String>) -> Self {
        let mut verb: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        verb.extend(remove.map(|vm| format!("--rm={vm}")));
        verb.extend([method.to_owned(), failed.status.to_string()]);
        Self::Tell(Words {
            verb,
            body: failed.body,
        })
    }
}

/// A hidden verb of the TypeScript CLI, and what kilnd said. The last argument is the descriptor that has it.
#[derive(Debug, PartialEq)]
pub struct Words {
    pub verb: Vec<String>,
    pub body: Bytes,
}

/// A guest's words as a terminal may have them: what could move the cursor or retitle the window is replaced, as the
/// TypeScript CLI does (render/safe-text.ts).
pub fn printable(text: &str) -> String {
    let replace = |char: char| match char {
        '\n' | '\t' => char,
        '\r' => ' ',
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            char::REPLACEMENT_CHARACTER
        }
        char if char.is_control() => char::REPLACEMENT_CHARACTER,
        char => char,
    };
    text.replace("\r\n", "\n").chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::{Failed, Outcome, printable};

    #[test]
    fn asks_nothing_more_of_a_silent_kilnd() {
        let Outcome::Tell(words) = Outcome::failed("VmService/Attach", Failed::silent(), Some("urn".into()))
        else {
            panic!("it has words");
        };
        assert_eq!(words.verb, ["__call-failed", "--silent", "VmService/Attach", "0"]);
    }

    #[test]
    fn a_guests_words_do_not_drive_the_terminal() {
        assert_eq!(
            printable("\u{1b}]0;pwn\u{7}\u{9b}2J\u{202e}a\tb\r\nc\rd"),
            "\u{fffd}]0;pwn\u{fffd}\u{fffd}2J\u{fffd}a\tb\nc d"
        );
    }
}
