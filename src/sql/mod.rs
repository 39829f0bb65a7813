//! The statements that are written in SQL by hand.

#[cfg(test)]
mod golden;
