//! Configuration text: refused or accepted, and what is accepted survives its own JSON.
#![no_main]

use std::path::Path;

use flowreeve::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(config) = Config::from_uci(text, Path::new("fuzz")) {
        let again = Config::from_json(&config.to_json(), Path::new("fuzz"));
        assert!(again.is_ok_and(|again| again == config));
    }
});
