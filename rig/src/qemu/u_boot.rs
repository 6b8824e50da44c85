//! A word more for the kernel's command line, in the environment that U-Boot
//! was built with (`uboot.env` of the board).

/// What is in front of the new word.
const ARGUMENTS: &[u8] = b" ro rootwait";

/// Text of the environment that the new word takes the place of, so that
/// nothing behind the environment moves: it is only shown on the console.
const MESSAGE: &[u8] = b"No slot of this card can be booted: write the card again.";

/// `program` with `word` at the end of the arguments that it gives the kernel.
/// `None` where its environment is another, or has no room for the word.
pub(super) fn with_argument(program: &[u8], word: &str) -> Option<Vec<u8>> {
    let added = format!(" {word}").into_bytes();
    let message = find(program, MESSAGE)?;
    let kept = message + MESSAGE.len().checked_sub(added.len())?;
    let behind_message = message + MESSAGE.len();
    let arguments = behind_message + find(&program[behind_message..], ARGUMENTS)?;
    let behind_arguments = arguments + ARGUMENTS.len();
    Some(
        [
            &program[..kept],
            &program[behind_message..behind_arguments],
            &added,
            &program[behind_arguments..],
        ]
        .concat(),
    )
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVIRONMENT: &str = "code\0bootcmd=run boot; echo No slot of this card can be booted: \
                               write the card again.; reset\0boot=setenv bootargs root=x ro \
                               rootwait; booti\0\0code";

    #[test]
    fn a_word_is_added_and_nothing_moves() {
        let changed = with_argument(ENVIRONMENT.as_bytes(), "watchdog=off").unwrap();
        assert_eq!(
            String::from_utf8(changed).unwrap(),
            "code\0bootcmd=run boot; echo No slot of this card can be booted: write th; \
             reset\0boot=setenv bootargs root=x ro rootwait watchdog=off; booti\0\0code"
        );
    }

    #[test]
    fn another_environment_is_left_alone() {
        assert_eq!(with_argument(b"code", "watchdog=off"), None);
        assert_eq!(with_argument(ENVIRONMENT.as_bytes(), &"x".repeat(60)), None);
    }
}
