//! What the bridge signs in with.

use remotelab_config::api_tokens::TokenFile;
use std::os::unix::fs::PermissionsExt;

use crate::world::{World, mail, until};

#[tokio::test]
async fn mail_is_handed_over_with_a_token_of_its_own() {
    let world = World::new().await;
    world.deliver("trial1@example.com", mail("m1@example.com", "", "One")).await;
    let run = until("the run", || world.trial.running().pop()).await;
    assert_eq!(world.trial.read(|book| (book.owner_logins, book.intruders)), (0, 0));
    let config = world.folder.path().join("trial1/config");
    let file = TokenFile::in_folder(&config);
    let listed = file.load().unwrap();
    let tokens: Vec<_> = listed.list().collect();
    assert_eq!(tokens.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["mail"]);
    let kept = config.join("agent-mailbox/instance-token");
    assert_eq!(std::fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);

    // Revoked, the next mail makes another.
    file.revoke(&tokens[0].id).unwrap();
    world.trial.finish(&run, "completed", "Done.");
    until("the answer", || world.relay.mails().pop()).await;
    world.deliver("trial1@example.com", mail("m2@example.com", "", "Two")).await;
    until("the second run", || world.trial.running().pop()).await;
    assert_eq!(world.trial.read(|book| book.owner_logins), 0);
    assert_eq!(file.load().unwrap().list().count(), 1);
}

#[tokio::test]
async fn an_older_chat_server_gets_the_owner_token() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().tokens = None;
    world.trial.state.lock().unwrap().is_old = true;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    world.deliver("trial1@example.com", mail("m1@example.com", "", "One")).await;
    until("the answer", || world.relay.mails().pop()).await;
    assert_eq!(world.trial.read(|book| (book.owner_logins, book.intruders)), (1, 0));
}
