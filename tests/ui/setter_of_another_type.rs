use wundr_db::{ProjectChanges, ProjectFilter};

fn main() {
    // A status is not a text.
    let _ = ProjectChanges::new().status("active");
    let _ = ProjectFilter::new().status(Some("active"));
}
