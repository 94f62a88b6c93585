//! Files of snapshots: read however they come in, and refused if one bit of them is another.

use node::archive::{Decoder, Encoder, Fault};
use paxos::ClusterId;
use proptest::prelude::*;
use quorum::Epoch;
use ring::digest::{SHA256, digest};
use storage::snapshot::{Origin, Source, Summary};
use storage::tables::{MemoryTables, TableBatch, Tables};

/// A file with some rows in several pieces.
fn file() -> Vec<u8> {
    let tables = MemoryTables::new();
    let mut batch = tables.batch(0);
    for number in 0..50u32 {
        batch.put(format!("a row {number:03}").as_bytes(), &number.to_le_bytes());
    }
    tables.write(batch).expect("memory does not fail");
    let origin = Origin {
        cluster: "test".to_owned(),
        cluster_id: ClusterId(7),
        epoch: Epoch(1),
    };
    let mut source = Source::new(tables.freeze(), origin, 50, 200).expect("memory does not fail");
    let mut encoder = Encoder::default();
    let mut file = Vec::new();
    let mut number = 0;
    while let Some(piece) = source.piece(number).expect("memory does not fail") {
        file.extend_from_slice(&encoder.piece(&piece.payload));
        number += 1;
    }
    assert!(number > 3, "{number} pieces");
    file.extend_from_slice(&encoder.finish());
    file
}

fn decode(file: &[u8], at_once: usize) -> Result<Summary, Fault> {
    let mut decoder = Decoder::default();
    for bytes in file.chunks(at_once) {
        decoder.take(bytes, &mut |_| Ok(()), &mut |_, _| Ok(()))?;
    }
    decoder.finish()
}

#[test]
fn what_is_written_is_read_however_it_comes_in() {
    let file = file();
    let summary = decode(&file, file.len()).expect("it is whole");
    assert_eq!((summary.rows, summary.header.origin.cluster.as_str()), (50, "test"));
    for at_once in [1, 3, 100, 512] {
        assert_eq!(decode(&file, at_once), Ok(summary.clone()), "{at_once} bytes at once");
    }
}

/// What `etcdctl snapshot save` looks at.
#[test]
fn the_end_is_as_etcds_tool_wants_it() {
    let file = file();
    assert_eq!(file.len() % 512, 32);
    let (body, sum) = file.split_at(file.len() - 32);
    assert_eq!(digest(&SHA256, body).as_ref(), sum);
}

#[test]
fn a_file_that_is_cut_off_or_goes_on_is_refused() {
    let file = file();
    for len in 0..file.len() {
        let fault = decode(&file[..len], 4096).expect_err("it is cut off");
        assert_eq!(fault, Fault::Truncated { bytes: len as u64 });
    }
    let longer = [&file[..], b"x"].concat();
    let end = file.len() as u64;
    for at_once in [1, 4096] {
        assert_eq!(decode(&longer, at_once), Err(Fault::Longer { end }));
    }
}

#[test]
fn strangers_and_newer_files_are_told_apart() {
    assert_eq!(decode(b"SQLite format 3\0 and so on", 4096), Err(Fault::Stranger));
    let mut newer = file();
    newer[15] = b'2';
    let fault = decode(&newer, 4096).expect_err("it is newer");
    assert_eq!(fault, Fault::Newer { found: '2' });
    assert!(
        fault
            .to_string()
            .contains("its format is '2', and this build reads format '1'"),
        "{fault}"
    );
}

proptest! {
    #[test]
    fn a_flipped_bit_is_noticed_wherever_it_is(at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let mut file = file();
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert!(decode(&file, 4096).is_err(), "bit {} of byte {}", bit, at);
    }

    #[test]
    fn rubbish_is_no_panic(rubbish: Vec<u8>) {
        let bytes = [&b"synod snapshot 1"[..], &rubbish].concat();
        prop_assert!(decode(&bytes, 4096).is_err());
    }
}
