//! How much of a clean-up goes into one batch: neighbours wait for no more than that.

use super::command::{Batch, Command};

/// How many bytes of keys go into one batch of deletes (1 MiB): all of it goes into one frame, and keys can be long.
const BYTES: usize = 1 << 20;

impl Batch {
    /// How many commands of a clean-up go into one batch at most.
    pub const SLICE: usize = 256;

    /// Returns how many of `commands`, which are not none, go into one batch.
    #[must_use]
    pub fn slice_of<'c>(commands: impl IntoIterator<Item = &'c Command>) -> usize {
        let mut bytes = 0;
        let fits = commands.into_iter().take(Self::SLICE).take_while(|command| {
            bytes += key_length(command);
            bytes <= BYTES
        });
        fits.count().max(1)
    }
}

fn key_length(command: &Command) -> usize {
    match command {
        Command::Delete { key, .. } => key.encoded().len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::Condition;
    use super::*;
    use datacache_proto::key::Key;

    #[test]
    fn a_slice_ends_with_the_number_of_its_commands_or_the_length_of_their_keys() {
        let delete =
            |length| Command::Delete { namespace: 1, key: Key::bytes(&vec![7; length]), when: Condition::Live };
        assert_eq!(Batch::slice_of(&vec![delete(8); 1_000]), Batch::SLICE);
        let few = Batch::slice_of(&vec![delete(60_000); 1_000]);
        assert!((10..18).contains(&few), "{few}");
        assert_eq!(Batch::slice_of(&[delete(8)]), 1);
    }
}
