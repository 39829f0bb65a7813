// A SARIF log of any tool.

use std::cell::RefCell;
use std::io::Write as _;

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(tempfile::NamedTempFile::new().unwrap());
}

/// Reads bytes as a SARIF log.
pub fn sarif(bytes: &[u8]) {
    FILE.with_borrow_mut(|file| {
        std::fs::File::create(file.path())
            .unwrap()
            .write_all(bytes)
            .unwrap();
        file.flush().unwrap();
        let _ = example_support::readers::read(file.path());
    });
}
