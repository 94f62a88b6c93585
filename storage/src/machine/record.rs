//! What the tables hold for one version of a key.
//!
//! A deletion is a single zero byte. Anything else is a one, then the create revision, the version and the lease as
//! variable-length numbers, then the value: small numbers are the rule, and every version pays for them.

/// One version of a key as it is stored.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Record<'a> {
    /// The key was deleted.
    Deleted,
    /// The key was put.
    Put {
        /// When the key came to be.
        create_revision: i64,
        /// How often it was put since.
        version: i64,
        /// Its lease, or 0.
        lease: i64,
        /// Its value.
        value: &'a [u8],
    },
}

const DELETED: u8 = 0;
const PUT: u8 = 1;

impl<'a> Record<'a> {
    /// Appends the record's bytes.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        match *self {
            Record::Deleted => bytes.push(DELETED),
            Record::Put {
                create_revision,
                version,
                lease,
                value,
            } => {
                bytes.push(PUT);
                push_number(bytes, create_revision);
                push_number(bytes, version);
                push_number(bytes, lease);
                bytes.extend_from_slice(value);
            }
        }
    }

    /// Whether these are the bytes of a deletion.
    pub(super) fn is_deletion(bytes: &[u8]) -> bool {
        bytes == [DELETED]
    }

    /// Reads a record; `None` if the bytes are not one.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Record<'a>> {
        match bytes {
            [DELETED] => Some(Record::Deleted),
            [PUT, rest @ ..] => {
                let mut rest = rest;
                Some(Record::Put {
                    create_revision: take_number(&mut rest)?,
                    version: take_number(&mut rest)?,
                    lease: take_number(&mut rest)?,
                    value: rest,
                })
            }
            _ => None,
        }
    }
}

/// Seven bits a byte, lowest first.
fn push_number(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = number.cast_unsigned();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number.cast_signed());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_decodes(create_revision: i64, version: i64, lease: i64, value: Vec<u8>) {
            for record in [Record::Deleted, Record::Put { create_revision, version, lease, value: &value }] {
                let mut bytes = Vec::new();
                record.encode(&mut bytes);
                prop_assert_eq!(Record::decode(&bytes), Some(record));
            }
        }

        #[test]
        fn rubbish_is_no_panic(bytes: Vec<u8>) {
            let _ = Record::decode(&bytes);
        }
    }

    #[test]
    fn small_numbers_take_a_byte_each() {
        let mut bytes = Vec::new();
        Record::Put {
            create_revision: 5,
            version: 1,
            lease: 0,
            value: b"v",
        }
        .encode(&mut bytes);
        assert_eq!(bytes, [PUT, 5, 1, 0, b'v']);
    }
}
