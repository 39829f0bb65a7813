use wundr_db::NewRow;

struct Note;

#[derive(NewRow)]
#[row(row = Note)]
struct NewNote {
    title: String,
}

fn main() {}
