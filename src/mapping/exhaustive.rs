//! The check of `#[repository(exhaustive)]`, which runs while an application is compiled.

/// Refuses an implementation that neither writes nor passes on a method of its trait, or passes on
/// a method that the trait does not have.
///
/// # Panics
/// With the method's name, which makes it an error of the compiler.
#[track_caller]
pub const fn check(
    name: &str,
    methods: &[&str],
    of_the_other_engine: &[&str],
    written: &[&str],
    passed: &[&str],
) {
    let mut index = 0;
    while index < methods.len() {
        let method = methods[index];
        if !contains(written, method) && !contains(passed, method) {
            refuse(
                name,
                method,
                " is neither written nor passed on: write it, or name it in `pass(...)`",
            );
        }
        index += 1;
    }
    index = 0;
    while index < passed.len() {
        let method = passed[index];
        if !contains(methods, method) && !contains(of_the_other_engine, method) {
            refuse(
                name,
                method,
                " is passed on, but the trait does not have it",
            );
        }
        index += 1;
    }
}

const fn contains(names: &[&str], name: &str) -> bool {
    let mut index = 0;
    while index < names.len() {
        if is_equal(names[index].as_bytes(), name.as_bytes()) {
            return true;
        }
        index += 1;
    }
    false
}

const fn is_equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// The longest message.
const LONGEST: usize = 256;

/// Panics with a message of three parts. A constant function cannot format more than one text.
#[track_caller]
const fn refuse(name: &str, method: &str, reason: &str) -> ! {
    let parts = [name.as_bytes(), b"::", method.as_bytes(), reason.as_bytes()];
    let mut message = [0; LONGEST];
    let (mut length, mut part) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() && length < LONGEST {
            message[length] = parts[part][index];
            length += 1;
            index += 1;
        }
        part += 1;
    }
    match core::str::from_utf8(message.split_at(length).0) {
        Ok(message) => panic!("{}", message),
        Err(_) => panic!("a method is neither written nor passed on"),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    const METHODS: &[&str] = &["find", "delete"];

    #[test]
    fn each_method_is_written_or_passed_on() {
        check(
            "Users",
            METHODS,
            &["stream"],
            &["find", "inner"],
            &["delete", "stream"],
        );
    }

    #[test]
    #[should_panic(
        expected = "Users::delete is neither written nor passed on: write it, or name it in `pass(...)`"
    )]
    fn a_method_that_is_left_out_is_named() {
        check("Users", METHODS, &[], &["find", "inner"], &[]);
    }

    #[test]
    #[should_panic(expected = "Users::remove is passed on, but the trait does not have it")]
    fn a_method_that_does_not_exist_is_named() {
        check("Users", METHODS, &[], &["find"], &["delete", "remove"]);
    }
}
