use lettre::message::Message;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use remotelab_tests::smtp::SmtpServer;

#[tokio::test]
async fn a_mail_arrives_whole() -> anyhow::Result<()> {
    let server = SmtpServer::start()?;

    transport(&server).send(mail()?).await?;

    let mails = server.received(1).await?;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].from, "rowan@example.com");
    assert_eq!(mails[0].to, ["ada@example.com"]);
    assert_eq!(mails[0].header("in-reply-to").as_deref(), Some("<1@example.com>"));
    assert!(mails[0].text().ends_with("Done.\r\n"), "{}", mails[0].text());
    Ok(())
}

#[tokio::test]
async fn a_server_may_refuse_for_the_time_being() -> anyhow::Result<()> {
    let server = SmtpServer::refusing(1)?;

    let refused = transport(&server).send(mail()?).await;
    assert!(refused.is_err_and(|error| error.is_transient()));
    assert_eq!(server.mails(), []);

    transport(&server).send(mail()?).await?;
    assert_eq!(server.received(1).await?.len(), 1);
    Ok(())
}

fn transport(server: &SmtpServer) -> AsyncSmtpTransport<Tokio1Executor> {
    AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(server.port()).build()
}

fn mail() -> anyhow::Result<Message> {
    let mail = Message::builder()
        .from("rowan@example.com".parse()?)
        .to("ada@example.com".parse()?)
        .subject("Re: numbers")
        .in_reply_to("<1@example.com>".to_owned())
        .body("Done.".to_owned())?;
    Ok(mail)
}
