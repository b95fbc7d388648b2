//! A call that carries a program and outlives kilnd, as `src/sdk/lasting-stream.ts`: where the connection breaks, kilnd is
//! brought back, and the call goes on where it was: output by its place, stdin by what was taken, size as it is now.
//! Nothing is asked for twice.

use std::cell::RefCell;
use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::call::{Answers, Connection, Requests};
use crate::carried::Carried;
use crate::failed::Failed;
use crate::inputs::{Inputs, Reach, next_piece};
use crate::kept::Piece;
use crate::outage::{Miss, Outage, Way};
use crate::program::{Begun, End, Event, Input, Program};
use crate::proto::{Output, OutputStream, VmStalled};
use crate::stdio::{Pieces, Stream};

/// Ctrl-C, as a raw terminal gives it.
const INTERRUPT_KEY: u8 = 3;
pub const INTERRUPTED: i32 = 130;

pub struct Lasting<'a, P> {
    pub program: &'a P,
    pub reach: &'a Reach,
    pub pieces: Pieces,
    /// Keys come raw, so that Ctrl-C is one of them.
    pub keys: bool,
    state: RefCell<Carried>,
    /// Something may be due to be said, or there is room for stdin.
    news: Notify,
}

impl<'a, P: Program> Lasting<'a, P> {
    pub fn new(program: &'a P, reach: &'a Reach, pieces: Pieces, keys: bool) -> Self {
        Self {
            program,
            reach,
            pieces,
            keys,
            state: RefCell::default(),
            news: Notify::new(),
        }
    }

    /// To its end, over as many connections as it takes.
    pub async fn run(self, first: &Connection, way: Way<'_>, inputs: Inputs) -> End<P::Exit> {
        match self.carry(first, way, inputs).await {
            End::Failed(failed) if self.state.borrow().resumable.is_some() => End::Broken(failed),
            end => end,
        }
    }

    async fn carry(&self, first: &Connection, mut way: Way<'_>, mut inputs: Inputs) -> End<P::Exit> {
        let mut attended = self.attend(first, self.program.start(), &mut inputs, None).await;
        loop {
            let failed = match attended {
                Ok(end) => return end,
                Err(failed) => failed,
            };
            if !self.can_go_on(&failed) {
                return End::Failed(failed);
            }
            if let Some(number) = self.reach.doubtful_end() {
                return End::Left(128 + number);
            }
            self.reach.away.set(true);
            attended = self.recover(failed, &mut way, &mut inputs).await;
        }
    }

    fn can_go_on(&self, failed: &Failed) -> bool {
        match self.state.borrow().resumable {
            _ if failed.is_silent => false,
            Some(true) => failed.is_outage() || failed.status == 0,
            // Nothing has begun that could go on: kilnd's word for a guest that is silent is all there is to say.
            None => failed.is_outage() && !failed.is_guest_silent(),
            Some(false) => false,
        }
    }

    /// Tries until a connection has brought an answer; then as `attend`.
    async fn recover(
        &self,
        cause: Failed,
        way: &mut Way<'_>,
        inputs: &mut Inputs,
    ) -> Result<End<P::Exit>, Failed> {
        let mut outage = Outage::begin();
        let mut ask_start = false;
        let mut silent = Some(&cause).filter(|failed| failed.is_guest_silent()).cloned();
        loop {
            let reached = tokio::select! {
                () = self.gather(inputs) => return Ok(End::Left(INTERRUPTED)),
                reached = outage.reach(way) => reached,
            };
            let stream = match reached {
                Ok(stream) => stream,
                Err(Miss::Deserted) => return Ok(given_up(cause, silent)),
                Err(Miss::Refused) => return Ok(End::Failed(cause)),
            };
            let Ok(connection) = Connection::open(stream).await else {
                silent = None;
                continue;
            };
            let ask = if ask_start {
                self.program.start()
            } else {
                self.resume()
            };
            let failed = match self.attend(&connection, ask, inputs, Some(outage.left())).await {
                Err(failed) if !self.state.borrow().answered => failed,
                attended => return attended,
            };
            let said = failed
                .refusal()
                .filter(|_| self.state.borrow().resumable.is_none());
            match said {
                Some(said) if P::is_unknown(&said) && !ask_start => ask_start = true,
                // A kilnd of before all this: what was lost is lost.
                Some(said) if said.code == "invalid_argument" => return Ok(End::Failed(cause)),
                _ if failed.is_outage() => silent = Some(failed).filter(Failed::is_guest_silent),
                _ => return Ok(End::Failed(failed)),
            }
        }
    }

    fn resume(&self) -> P::Ask {
        self.program.resume(self.state.borrow().place)
    }

    /// Stdin while kilnd is away. Returns where the user wants out.
    async fn gather(&self, inputs: &mut Inputs) {
        while !self.state.borrow().kept.is_full() {
            let piece = next_piece(&mut inputs.stdin).await;
            if self.wants_out(&piece) {
                return;
            }
            self.state.borrow_mut().keep(&piece);
        }
        pending().await
    }

    /// One connection, to the end of the program or of the connection. `within`: the time for its first answer, of one
    /// that is not the first.
    async fn attend(
        &self,
        connection: &Connection,
        first: P::Ask,
        inputs: &mut Inputs,
        within: Option<Duration>,
    ) -> Result<End<P::Exit>, Failed> {
        self.state.borrow_mut().connect(within.is_none());
        let (mut requests, answers) = connection.call(P::METHOD).await?;
        let asking = async {
            // Where it fails, the answers say why.
            if self.ask(&mut requests, first, inputs).await.is_err() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            end = self.pump(answers, within) => end.map(End::Exit).map_err(|failed| connection.judge(failed)),
            () = asking => Ok(End::Left(INTERRUPTED)),
        }
    }

    /// The first message, then whatever there is. Returns where the user wants out, or the connection is over.
    async fn ask(
        &self,
        requests: &mut Requests<P::Ask>,
        first: P::Ask,
        inputs: &mut Inputs,
    ) -> Result<(), Failed> {
        requests.send(&first).await?;
        loop {
            let due = self.state.borrow_mut().due::<P>();
            if let Some(due) = due {
                requests.send(&due).await?;
                continue;
            }
            let has_room = !self.state.borrow().kept.is_full();
            tokio::select! {
                biased;
                Some(notice) = inputs.notices.recv() => {
                    if let Input::Resize(size) = notice {
                        self.state.borrow_mut().size = Some(size);
                    }
                    requests.send(&P::ask(notice)).await?;
                }
                () = self.news.notified() => {}
                piece = next_piece(&mut inputs.stdin), if has_room => {
                    if self.wants_out(&piece) {
                        return Ok(());
                    }
                    if self.state.borrow_mut().keep(&piece) {
                        requests.send(&P::ask(piece.into())).await?;
                    }
                }
            }
        }
    }

    /// Nobody there makes a signal of the key.
    fn wants_out(&self, piece: &Piece) -> bool {
        let unreachable = self.reach.unheard.get() || self.reach.is_cut_off();
        let interrupts = |bytes: &Bytes| bytes.contains(&INTERRUPT_KEY);
        self.keys && unreachable && piece.as_ref().is_some_and(interrupts)
    }

    /// Answers, until the program's end. Nothing is read while a write waits.
    async fn pump(
        &self,
        mut answers: Answers<P::Answer>,
        within: Option<Duration>,
    ) -> Result<P::Exit, Failed> {
        let mut next = match within {
            Some(limit) => timeout(limit, answers.next())
                .await
                .unwrap_or_else(|_| Err(Failed::lost()))?,
            None => answers.next().await?,
        };
        self.state.borrow_mut().answered = true;
        loop {
            match P::read(next) {
                Event::Begun(begun) => self.begin(&begun),
                Event::Output(output) => self.show(output).await,
                Event::Taken(taken) => {
                    self.state.borrow_mut().kept.take(taken);
                    self.news.notify_one();
                }
                Event::Stalled(VmStalled { reason, message }) => {
                    self.reach.stalled.set(!reason.is_empty());
                    if !message.is_empty() {
                        self.write(Stream::Stderr, format!("kiln: {message}\n").into())
                            .await;
                    }
                }
                Event::Exit(exit) => return Ok(exit),
                Event::Other => {}
            }
            next = answers.next().await?;
        }
    }

    fn begin(&self, begun: &Begun) {
        self.state.borrow_mut().begin(begun);
        self.reach.unheard.set(false);
        self.reach.away.set(false);
        self.news.notify_one();
    }

    async fn show(&self, output: Output) {
        if self.state.borrow().resumable.is_none() {
            // Output before the word is a kilnd's of before all this.
            self.begin(&Begun {
                resumable: false,
                stdin_next: 0,
                place: None,
            });
        }
        let stream = match output.stream() {
            OutputStream::Stderr => Stream::Stderr,
            _ => Stream::Stdout,
        };
        let bytes = output.data.len();
        self.write(stream, output.data).await;
        if self.state.borrow_mut().shown(bytes, output.next) {
            self.news.notify_one();
        }
    }

    async fn write(&self, stream: Stream, data: Bytes) {
        if self.pieces.send((stream, data)).await.is_err() {
            // The writer has failed, which ends all of this.
            pending().await
        }
    }
}

/// What an outage without end was: kilnd's, or, by kilnd's last word, a guest's that does not answer.
fn given_up<E>(cause: Failed, silent: Option<Failed>) -> End<E> {
    silent.map_or(End::Deserted(cause), End::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_at_the_end_of_an_outage_whose_it_was() {
        let silent = Failed {
            status: 200,
            ..Failed::nonsense()
        };
        let end: End<()> = given_up(Failed::lost(), Some(silent));
        assert!(matches!(end, End::Failed(Failed { status: 200, .. })));
        let end: End<()> = given_up(Failed::lost(), None);
        assert!(matches!(end, End::Deserted(failed) if failed.is_lost));
    }
}
