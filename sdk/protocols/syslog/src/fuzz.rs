//! What must hold for any bytes at all; for fuzzing. It panics if it does not hold.

use crate::{Message, rfc3164, rfc5424};

/// Any bytes are read or refused in both formats, and what was read of RFC 5424 is the same when it is written and read again.
pub fn bytes(bytes: &[u8]) {
    if let Ok(message) = rfc5424::parse(bytes) {
        let written = rfc5424::write(&message);
        let again = rfc5424::parse(&written).expect("what was written can be read");
        assert_eq!(sorted(again), sorted(message));
    }
    let cisco = rfc3164::Extras {
        message_counter: true,
        sequence_number: true,
        hostname: true,
        second_fractions: true,
        zero_padded_days: true,
        newlines: true,
    };
    for extras in [rfc3164::Extras::default(), cisco] {
        if let Ok(message) = rfc3164::parse(rfc3164::without_line_end(bytes), extras) {
            assert!(message.priority.is_some_and(|priority| priority <= 191));
            assert!(message.text.len() < bytes.len());
            for word in [message.hostname, message.app_name].into_iter().flatten() {
                assert!(!word.is_empty() && !word.contains(' '), "{word:?}");
            }
        }
    }
}

/// Elements and parameters are written in the order of their names.
fn sorted(mut message: Message<'_>) -> Message<'_> {
    message.data.sort_by_key(|element| element.id);
    for element in &mut message.data {
        element.parameters.sort_by_key(|(name, _)| *name);
    }
    message
}
