//! QEMU's debugger stub, by which a kernel that runs is made to fail.
//!
//! The protocol is GDB's: packets `$TEXT#SUM`, each acknowledged with `+`
//! (GDB's manual, "Remote Serial Protocol"). A connection stops the machine,
//! and [`Debugger::detach`] lets it run on.

use std::{
    io::{self, Read as _, Write as _},
    ops::Range,
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::Duration,
};

/// How long the stub may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of the longest answer that is taken.
const LONGEST_ANSWER: usize = 16 << 10;

/// How often the machine is stopped to find it in the right place.
const TRIES: u32 = 1000;

/// How long the machine runs between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Where two of the registers are in the answer to `g`, in bytes: behind 31
/// of general purpose and the stack pointer (GDB's `aarch64-core.xml`).
const PROGRAM_COUNTER: Range<usize> = 256..264;
const PROCESSOR_STATE: Range<usize> = 264..268;

/// How a kernel fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It stands still with interrupts off, so that nothing but a watchdog in
    /// hardware can end it.
    Hang,
    /// It meets an instruction that does not exist, with interrupts off, and
    /// panics if it was told to (`CONFIG_PANIC_ON_OOPS`).
    Panic,
}

/// A guest that was not made to fail.
#[derive(Debug, thiserror::Error)]
pub enum DebuggerError {
    /// The connection failed.
    #[error("QEMU's debugger socket failed: {0}")]
    Connection(#[from] io::Error),
    /// What came is not the protocol.
    #[error("QEMU's debugger said {0:?}")]
    Answer(String),
    /// No processor was found in the kernel with interrupts off.
    #[error("the guest's kernel never had interrupts off")]
    NeverReached,
}

/// Makes the kernel of the machine fail whose debugger socket is at `path`.
/// The machine has one processor: another would go on.
///
/// # Errors
/// When the machine cannot be stopped where that is possible.
pub(super) fn fail(path: &Path, failure: Failure) -> Result<(), DebuggerError> {
    let instruction: u32 = match failure {
        // b .
        Failure::Hang => 0x1400_0000,
        // udf #0
        Failure::Panic => 0,
    };
    for _ in 0..TRIES {
        let mut debugger = Debugger::stop(path)?;
        if let Some(next) = debugger.interrupts_off_at()? {
            debugger.write(next, &instruction.to_le_bytes())?;
            return debugger.detach();
        }
        debugger.detach()?;
        thread::sleep(PAUSE);
    }
    Err(DebuggerError::NeverReached)
}

/// A machine that stands still.
struct Debugger {
    connection: UnixStream,
}

impl Debugger {
    fn stop(path: &Path) -> Result<Self, DebuggerError> {
        let connection = UnixStream::connect(path)?;
        connection.set_read_timeout(Some(ANSWER_PATIENCE))?;
        Ok(Self { connection })
    }

    /// Where the processor goes on, if it is in the kernel with interrupts off,
    /// as it is while it waits for the next one.
    fn interrupts_off_at(&mut self) -> Result<Option<u64>, DebuggerError> {
        const LEVEL: u64 = 0b1100;
        const LEVEL_1: u64 = 0b0100;
        const INTERRUPTS_OFF: u64 = 1 << 7;
        let registers = self.ask("g")?;
        let register = |bytes: Range<usize>| {
            let hex = registers.get(2 * bytes.start..2 * bytes.end)?;
            let little_endian = u64::from_str_radix(hex, 16).ok()?;
            Some(little_endian.swap_bytes() >> (64 - 8 * bytes.len()))
        };
        let (Some(next), Some(state)) = (register(PROGRAM_COUNTER), register(PROCESSOR_STATE))
        else {
            return Err(DebuggerError::Answer(registers));
        };
        let off = state & LEVEL == LEVEL_1 && state & INTERRUPTS_OFF != 0;
        Ok(off.then_some(next))
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), DebuggerError> {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.expect_ok(&format!("M{address:x},{:x}:{hex}", bytes.len()))
    }

    /// Lets the machine run on.
    fn detach(mut self) -> Result<(), DebuggerError> {
        self.expect_ok("D")
    }

    fn expect_ok(&mut self, request: &str) -> Result<(), DebuggerError> {
        match self.ask(request)?.as_str() {
            "OK" => Ok(()),
            other => Err(DebuggerError::Answer(other.to_owned())),
        }
    }

    fn ask(&mut self, request: &str) -> Result<String, DebuggerError> {
        self.connection.write_all(packet(request).as_bytes())?;
        loop {
            let answer = self.answer()?;
            // Older ones than QEMU 8 say by themselves that the machine stands.
            if !answer.starts_with('T') {
                return Ok(answer);
            }
        }
    }

    fn answer(&mut self) -> Result<String, DebuggerError> {
        let mut answer = String::new();
        while self.byte()? != b'$' {}
        loop {
            match self.byte()? {
                b'#' => break,
                _ if answer.len() == LONGEST_ANSWER => return Err(DebuggerError::Answer(answer)),
                byte => answer.push(byte.into()),
            }
        }
        // The sum: a socket loses nothing.
        let _ = (self.byte()?, self.byte()?);
        self.connection.write_all(b"+")?;
        Ok(answer)
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.connection.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

fn packet(text: &str) -> String {
    let sum = text.bytes().fold(0u8, u8::wrapping_add);
    format!("${text}#{sum:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A stub that answers requests in turn; what it was asked.
    fn stub(answers: Vec<String>) -> (tempfile::TempDir, thread::JoinHandle<String>) {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("stub")).unwrap();
        let asked = thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut asked = String::new();
            for answer in answers {
                let mut request = [0; 128];
                let count = connection.read(&mut request).unwrap();
                asked += &String::from_utf8_lossy(&request[..count]);
                write!(connection, "+{}", packet(&answer)).unwrap();
                connection.read_exact(&mut [0]).unwrap();
            }
            asked
        });
        (directory, asked)
    }

    /// An answer to `g`, out of a kernel with interrupts off.
    fn registers() -> String {
        "00".repeat(256) + "00112233445566ff" + "c5000080"
    }

    #[test]
    fn a_kernel_gets_the_instruction_that_it_will_meet_next() {
        let (directory, asked) = stub(vec![registers(), "OK".to_owned(), "OK".to_owned()]);
        fail(&directory.path().join("stub"), Failure::Hang).unwrap();
        let asked = asked.join().unwrap();
        assert_eq!(asked, "$g#67$Mff66554433221100,4:00000014#02$D#44");
    }

    #[test]
    fn a_refusal_is_an_error() {
        for refusal in ["E14", ""] {
            let (directory, _asked) = stub(vec![registers(), refusal.to_owned()]);
            let error = fail(&directory.path().join("stub"), Failure::Panic).unwrap_err();
            let expected = format!("QEMU's debugger said {refusal:?}");
            assert_eq!(error.to_string(), expected);
        }
    }
}
