//! What of a process's output still counts once the process has ended.
//!
//! All that it wrote itself, however slowly it is taken: that lies in the pipe. Beyond that its children may hold the
//! pipe: the last stage of a pipeline writes its last, and what was left in the background may write for ever. Those are
//! heard until they are silent for a moment, and for so long and so much at most; they themselves live on.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::io::FdStream;

const SILENCE: Duration = Duration::from_millis(100);
/// Spent waiting for output. A host that takes it slowly costs nothing of it.
const LONGEST: Duration = Duration::from_secs(2);
/// Beyond what lay in the pipe: what a pipeline of some stages holds in its pipes and buffers.
const MOST: usize = 1 << 20;

/// The rest of one output.
pub struct Afterglow {
    /// Of these, all above `MOST` were in the pipe when the process ended.
    bytes: usize,
    patience: Duration,
}

impl Afterglow {
    /// To be begun when the process has ended.
    pub fn begin(source: &FdStream) -> Self {
        Self {
            bytes: source.waiting().saturating_add(MOST),
            patience: LONGEST,
        }
    }

    /// The next piece; 0 where nothing more counts.
    pub async fn read(&mut self, source: &FdStream, buffer: &mut [u8]) -> usize {
        let is_its_own = self.bytes > MOST;
        if self.bytes == 0 || (self.patience.is_zero() && !is_its_own) {
            return 0;
        }
        let most = buffer.len().min(self.bytes);
        let begun = Instant::now();
        let Ok(Ok(count)) = timeout(SILENCE, source.read(&mut buffer[..most])).await else {
            return 0;
        };
        self.patience = self.patience.saturating_sub(begun.elapsed());
        self.bytes -= count;
        count
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// Reads to the end of what counts.
    async fn heard(source: &FdStream) -> usize {
        let mut glow = Afterglow::begin(source);
        let mut buffer = vec![0; 64 << 10];
        let mut all = 0;
        loop {
            match glow.read(source, &mut buffer).await {
                0 => return all,
                count => all += count,
            }
        }
    }

    #[tokio::test]
    async fn of_one_that_writes_for_ever_only_so_much_counts() {
        let mut child = Command::new("yes").stdout(Stdio::piped()).spawn().unwrap();
        let source = FdStream::new(child.stdout.take().unwrap().into()).unwrap();
        let all = heard(&source).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!((MOST..=MOST + (1 << 20)).contains(&all), "{all}");
    }

    #[tokio::test]
    async fn what_lies_in_the_pipe_counts_whole_and_silence_is_the_end() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&[7; 5000]).unwrap();
        let source = FdStream::new(reader.into()).unwrap();
        assert_eq!(heard(&source).await, 5000);
        // Held open to the end: it was the silence.
        drop(writer);
    }
}
