//! Splits arguments by the tables of flags that the TypeScript CLI wrote (`src/cli/gen-front.ts`), as its own parser
//! does (`src/cli/parse.ts`). What is not plain gives None: that CLI then takes the whole line.

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: a switch that is off by default.
    Switch,
    /// Nothing: one that is on by default, so that giving it changes nothing.
    On,
    /// A value; the last one counts.
    Text,
    /// A value each time.
    List,
}

/// One row of a table.
#[derive(Debug, PartialEq, Eq)]
pub struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    /// All that the value may be; none: anything.
    pub choices: &'static [&'static str],
}

impl Flag {
    fn is_switch(&self) -> bool {
        matches!(self.kind, Kind::Switch | Kind::On)
    }
}

include!("gen/flags.rs");

/// Arguments, split.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Split<'a> {
    /// The flags in their order; "" for a switch. What is on by default is not among them.
    pub flags: Vec<(&'static Flag, &'a str)>,
    /// From the first operand on, as they stand.
    pub operands: &'a [&'a str],
}

impl<'a> Split<'a> {
    /// None where the flag may not be given so.
    fn take(&mut self, flag: &'static Flag, value: &'a str) -> Option<()> {
        if !flag.choices.is_empty() && !flag.choices.contains(&value) {
            return None;
        }
        if flag.kind != Kind::On {
            self.flags.push((flag, value));
        }
        Some(())
    }
}

/// Flags until the first operand.
pub fn split<'a>(table: &'static [Flag], args: &'a [&'a str]) -> Option<Split<'a>> {
    let mut out = Split::default();
    let mut at = 0;
    while let Some(&arg) = args.get(at) {
        at += 1;
        if arg == "--" {
            break;
        }
        // No VM's name, and the TypeScript CLI looks for --help behind it.
        if arg == "-" {
            return None;
        }
        if !arg.starts_with('-') {
            at -= 1;
            break;
        }
        let wants = match arg.strip_prefix("--") {
            Some(long) => take_long(table, long, &mut out)?,
            None => take_shorts(table, &arg[1..], &mut out)?,
        };
        if let Some(flag) = wants {
            let &value = args.get(at)?;
            // The TypeScript CLI takes these for a question, wherever they stand.
            if value == "--help" || value == "-h" {
                return None;
            }
            out.take(flag, value)?;
            at += 1;
        }
    }
    out.operands = &args[at..];
    Some(out)
}

/// `--name` or `--name=value`. Gives the flag that the next argument belongs to.
fn take_long<'a>(
    table: &'static [Flag],
    long: &'a str,
    out: &mut Split<'a>,
) -> Option<Option<&'static Flag>> {
    let (name, inline) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    let flag = table.iter().find(|flag| flag.name == name)?;
    match (flag.is_switch(), inline) {
        (true, None) => out.take(flag, "")?,
        // "--tty=false": rare, and its words are the TypeScript CLI's business.
        (true, Some(_)) => return None,
        (false, Some(value)) => out.take(flag, value)?,
        (false, None) => return Some(Some(flag)),
    }
    Some(None)
}

/// `-it`, `-eA=b`, `-e=A=b`, `-ite A=b`. Gives the flag that the next argument belongs to.
fn take_shorts<'a>(
    table: &'static [Flag],
    letters: &'a str,
    out: &mut Split<'a>,
) -> Option<Option<&'static Flag>> {
    for (at, letter) in letters.char_indices() {
        let flag = table.iter().find(|flag| flag.short == Some(letter))?;
        if flag.is_switch() {
            out.take(flag, "")?;
            continue;
        }
        let rest = &letters[at + letter.len_utf8()..];
        if rest.is_empty() {
            return Some(Some(flag));
        }
        out.take(flag, rest.strip_prefix('=').unwrap_or(rest))?;
        break;
    }
    Some(None)
}
