use wundr_db::Filter;

#[derive(Default, Filter)]
struct NoteFilter {
    title: String,
}

fn main() {}
