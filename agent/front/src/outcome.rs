//! What is left to do once a verb has been carried, or not.

use bytes::Bytes;

use crate::call::Failed;

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
