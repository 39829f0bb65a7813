use super::*;

mod users;
