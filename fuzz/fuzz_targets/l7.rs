//! Every dissector on bytes of its transport, both ways, in growing pieces.
#![no_main]

use flowreeve::flow::key::Dir;
use flowreeve::l7::{DISSECTORS, Facts, Input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for dissector in DISSECTORS {
        let mut facts = Facts::default();
        for end in [data.len() / 2, data.len()] {
            for dir in [Dir::ToServer, Dir::ToClient] {
                let input = Input {
                    dir,
                    data: &data[..end.min(dissector.limit_bytes)],
                    client_port: 40_000,
                    server_port: 443,
                    cut: end == data.len(),
                };
                let _ = (dissector.probe)(&input, &mut facts);
            }
        }
    }
});
