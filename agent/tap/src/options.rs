//! What kiln-tap is asked: `[--enter PID] [--nft PROGRAM --rules FILE] [--tc PROGRAM] (--tap NAME (--bridge NAME|--redirect LINK) --mtu N [--isolated] [--bare] [--answered 4|6|46] --at FD)... -- PROGRAM...`

use std::ffi::OsString;

/// Descriptors of a program beside the standard ones.
const FIRST_FREE: i32 = 3;
const LAST: i32 = 1023;
/// The cards of one VM.
const MOST_TAPS: usize = 8;
/// IFNAMSIZ with its end.
const LONGEST_NAME: usize = 15;
const MTU: std::ops::RangeInclusive<u32> = 1280..=65520;

/// What a tap is plugged into.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum End {
    #[default]
    None,
    Bridge(String),
    /// A link of which it gets all frames that come in, and that sends all that come out of the tap.
    Redirect(String),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct TapOptions {
    pub name: String,
    pub end: End,
    pub mtu: u32,
    /// Ports of one bridge that are isolated don't reach each other.
    pub isolated: bool,
    /// Frames have no header before them.
    pub is_bare: bool,
    /// Of which families of IP its guest is answered here when it asks for its address: such frames do not go on.
    pub answered: Answered,
    /// Which descriptor the program has it as.
    pub at: i32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    pub v4: bool,
    pub v6: bool,
}

/// A rule can't name a link that is not there yet: so these are loaded when the taps are.
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    pub nft: String,
    pub file: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A process in the user and network namespace where the bridges are.
    pub enter: Option<i32>,
    pub rules: Option<Rules>,
    /// tc(8), for taps that are redirected.
    pub tc: Option<String>,
    pub taps: Vec<TapOptions>,
    pub program: Vec<OsString>,
}

pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = words;
    let (mut nft, mut file) = (None, None);
    while let Some(word) = words.next().map(text_of).transpose()? {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("{word} is followed by nothing"))
                .and_then(text_of)
        };
        match word.as_str() {
            "--nft" => nft = Some(value()?),
            "--rules" => file = Some(value()?),
            "--tc" => options.tc = Some(value()?),
            "--enter" => options.enter = Some(number(&value()?, 1..=1 << 22)?),
            "--tap" => {
                let name = link_name(value()?)?;
                options.taps.push(TapOptions {
                    name,
                    at: -1,
                    ..TapOptions::default()
                });
            }
            "--" => {
                options.program = words.collect();
                options.rules = match (nft, file) {
                    (Some(nft), Some(file)) => Some(Rules { nft, file }),
                    (None, None) => None,
                    _ => return Err("--nft and --rules come together".into()),
                };
                return check(options);
            }
            _ => {
                let tap = options
                    .taps
                    .last_mut()
                    .ok_or_else(|| format!("{word} comes after --tap only"))?;
                match word.as_str() {
                    "--bridge" => tap.end = End::Bridge(link_name(value()?)?),
                    "--redirect" => tap.end = End::Redirect(link_name(value()?)?),
                    "--mtu" => tap.mtu = number(&value()?, MTU)?,
                    "--isolated" => tap.isolated = true,
                    "--bare" => tap.is_bare = true,
                    "--answered" => tap.answered = answered(&value()?)?,
                    "--at" => tap.at = number(&value()?, FIRST_FREE..=LAST)?,
                    _ => return Err(format!("there is no {word}")),
                }
            }
        }
    }
    Err("-- and a program are missing".into())
}

fn text_of(word: OsString) -> Result<String, String> {
    word.into_string().map_err(|word| format!("{word:?} is no text"))
}

fn check(options: Options) -> Result<Options, String> {
    let taps = &options.taps;
    if taps.is_empty() || taps.len() > MOST_TAPS {
        return Err(format!("1 to {MOST_TAPS} taps are made at a time"));
    }
    if options.program.is_empty() {
        return Err("the program is missing".into());
    }
    for (at, tap) in taps.iter().enumerate() {
        if tap.end == End::None || tap.mtu == 0 || tap.at < 0 {
            return Err(format!(
                "{} needs --bridge or --redirect, --mtu and --at",
                tap.name
            ));
        }
        // What it takes to carry frames: filters that are made here, or the rules.
        if matches!(tap.end, End::Redirect(_)) && options.tc.is_none() && options.rules.is_none() {
            return Err("--redirect comes with --tc or --rules".into());
        }
        if tap.answered != Answered::default()
            && (!matches!(tap.end, End::Redirect(_)) || options.tc.is_none())
        {
            return Err("--answered comes with --redirect and --tc".into());
        }
        if taps[..at]
            .iter()
            .any(|other| other.at == tap.at || other.name == tap.name)
        {
            return Err(format!(
                "{} has the name or the descriptor of another one",
                tap.name
            ));
        }
    }
    Ok(options)
}

fn answered(families: &str) -> Result<Answered, String> {
    match families {
        "4" | "6" | "46" => Ok(Answered {
            v4: families.contains('4'),
            v6: families.contains('6'),
        }),
        _ => Err(format!("{families:?} is neither 4, 6 nor 46")),
    }
}

/// As the kernel takes it, without the `%` of a pattern.
fn link_name(text: String) -> Result<String, String> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_dots = text.bytes().all(|byte| byte == b'.');
    if text.len() <= LONGEST_NAME && is_plain && !is_dots {
        Ok(text)
    } else {
        Err(format!("{text:?} is no name of a link"))
    }
}

fn number<N: std::str::FromStr + PartialOrd>(
    text: &str,
    range: std::ops::RangeInclusive<N>,
) -> Result<N, String> {
    text.parse::<N>()
        .ok()
        .filter(|value| range.contains(value))
        .ok_or_else(|| format!("{text:?} is no such number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Options, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn reads_taps_in_order_and_leaves_the_program_alone() {
        let line = "--enter 77 --nft /sbin/nft --rules /r --tap t0 --bridge b0 --mtu 1500 --at 5 --tap t1 --bridge b1 --mtu 9000 --isolated --bare --at 6 -- qemu --at 9 --";
        let options = of(line).unwrap();
        assert_eq!(options.enter, Some(77));
        let (nft, file) = ("/sbin/nft".into(), "/r".into());
        assert_eq!(options.rules, Some(Rules { nft, file }));
        assert_eq!(options.program, ["qemu", "--at", "9", "--"]);
        let [first, second] = &options.taps[..] else {
            panic!("{options:?}")
        };
        assert_eq!(
            (
                first.name.as_str(),
                &first.end,
                first.mtu,
                first.at,
                first.isolated
            ),
            ("t0", &End::Bridge("b0".into()), 1500, 5, false)
        );
        assert_eq!((second.mtu, second.at, second.isolated), (9000, 6, true));
        assert_eq!((first.is_bare, second.is_bare), (false, true));
    }

    #[test]
    fn reads_taps_that_are_redirected() {
        let options = of("--tc /sbin/tc --tap t --redirect eth0 --mtu 1500 --at 5 -- true").unwrap();
        assert_eq!(options.tc.as_deref(), Some("/sbin/tc"));
        let by_rules = "--nft /sbin/nft --rules /r --tap t --redirect eth0 --mtu 1500 --at 5 -- true";
        assert_eq!(of(by_rules).unwrap().tc, None);
        assert_eq!(options.taps[0].end, End::Redirect("eth0".into()));
        assert_eq!(options.taps[0].answered, Answered::default());
        let options =
            of("--tc /sbin/tc --tap t --redirect eth0 --mtu 1500 --answered 6 --at 5 -- true").unwrap();
        assert_eq!(options.taps[0].answered, Answered { v4: false, v6: true });
    }

    #[test]
    fn refuses_what_is_not_whole() {
        let tap = "--tap t --bridge b --mtu 1500 --at 5";
        let lines = [
            "",
            "--",
            "-- true",
            tap,
            &format!("{tap} --"),
            &format!("--at 5 {tap} -- true"),
            "--tap t --bridge b --mtu 1500 -- true",
            "--tap t --mtu 1500 --at 5 -- true",
            "--tap t --bridge b --at 5 -- true",
            &format!("{tap} {tap} -- true"),
            &format!("{tap} --tap u --bridge b --mtu 1500 --at 5 -- true"),
            "--tap t --bridge b --mtu 1500 --at 2 -- true",
            "--tap t --bridge b --mtu 100 --at 5 -- true",
            "--tap t%d --bridge b --mtu 1500 --at 5 -- true",
            "--tap a/b --bridge b --mtu 1500 --at 5 -- true",
            "--tap .. --bridge b --mtu 1500 --at 5 -- true",
            "--tap 0123456789abcdef --bridge b --mtu 1500 --at 5 -- true",
            &format!("--nft /sbin/nft {tap} -- true"),
            "--tap t --redirect eth0 --mtu 1500 --at 5 -- true",
            "--tc /sbin/tc --tap t --redirect e/0 --mtu 1500 --at 5 -- true",
            &format!("{tap} --answered 4 -- true"),
            "--nft /sbin/nft --rules /r --tap t --redirect eth0 --mtu 1500 --answered 4 --at 5 -- true",
            "--tc /sbin/tc --tap t --redirect eth0 --mtu 1500 --answered 5 --at 5 -- true",
            &format!("--enter 0 {tap} -- true"),
            &format!("--enter x {tap} -- true"),
            &format!("{tap} --fast -- true"),
        ];
        for line in lines {
            assert!(of(line).is_err(), "{line}");
        }
    }
}
