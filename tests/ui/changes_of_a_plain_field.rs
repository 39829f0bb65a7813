use wundr_db::Changes;

#[derive(Default, Changes)]
#[row(table = notes, row = Note, id = NoteId)]
struct NoteChanges {
    title: String,
}

fn main() {}
