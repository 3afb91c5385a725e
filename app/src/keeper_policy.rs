//! The plugin KeeperPolicy: reads the policies of its agent root, and answers on `RespondToTopic` what is asked on `KeeperPolicy`.
//!
//! It holds one compiled set of policies. Before each question it asks whether a file, or what was delivered, changed since, so that what
//! was changed counts from the next question on. Whose signatures count is what the agent says that it runs by; without that it answers
//! nothing. It decides nothing that `castellan_core::policy` does not, and starts nothing.

mod answering;

use std::path::Path;
use std::time::Duration;

use async_signal::{Signal, Signals};
use castellan_core::config::Settings;
use castellan_core::log_message::Level;
use castellan_core::plugin::HEALTH_TOPIC;
use castellan_mqtt::client::{Client, ClientConfig, Received};
use clap::Args;
use smol::Timer;
use smol::future::or;
use smol::stream::StreamExt;

use crate::component::{Agent, log_message};
use crate::failure::Failure;
use answering::{Answered, Policies};

/// Its id, and the topic on which it is asked.
const NAME: &str = "KeeperPolicy";
/// Where the agent's pings come (`healthCheck` of its definition).
const HEALTH: &str = "KeeperPolicy/health";
/// For each exchange with the agent.
const TIMEOUT: Duration = Duration::from_secs(10);
/// From a lost connection to the next try; doubled with each that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: the agent is on this machine, and a try costs little.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A return code of PUBACK and SUBACK from which on it is a refusal (MQTT 5.0 2.4).
const REFUSED: u8 = 0x80;

/// What the plugin's `arguments` give, besides the root.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// `{KeeperApiBaseUrl}`.
    #[arg(long)]
    keeper_api_base: String,
}

/// Answers until SIGTERM or SIGINT.
pub(crate) fn run(options: &Options, root: &Path) -> Result<(), Failure> {
    let mut signals = Signals::new([Signal::Term, Signal::Int]).map_err(Failure::failed)?;
    let mut pause = FIRST_PAUSE;
    loop {
        let lost = match Connection::open(options, root) {
            Ok((mut connection, settings)) => {
                let mut policies = Policies::open(root, settings)?;
                pause = FIRST_PAUSE;
                match connection.serve(&mut policies, &mut signals) {
                    Ok(()) => return connection.close(),
                    Err(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        // The agent keeps what its plugins write on standard error; its log cannot be reached now.
        crate::cli::warn(&format!("{NAME}: {lost} It connects again in {} ms.", pause.as_millis()))?;
        let asked_to_stop = async { signals.next().await.is_some() };
        let waited = async {
            Timer::after(pause).await;
            false
        };
        if smol::block_on(or(asked_to_stop, waited)) {
            return Ok(());
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// What it waited for.
enum Woken {
    Message(Received),
    Changed,
    Stop,
}

/// A connection to the broker.
struct Connection {
    client: Client,
    messages_logged: u64,
}

impl Connection {
    /// With the settings that the agent at the other end runs by.
    fn open(options: &Options, root: &Path) -> Result<(Self, Settings), Failure> {
        let agent = Agent::at(&options.keeper_api_base, root)?;
        let shown = agent.settings(TIMEOUT)?;
        let settings = Settings::of_signatures(&shown).map_err(Failure::failed)?;
        let text = |key: &str| shown.get(key).map_or("", String::as_str);
        let address = format!("{}:{}", text("broker.host"), text("broker.port"));
        let client_id = format!("{NAME}_{}", std::process::id());
        let config = ClientConfig { address, client_id, tls: agent.tls, timeout: TIMEOUT };
        let client = Client::connect(config).map_err(Failure::failed)?;
        for topic in [NAME, HEALTH] {
            let code = client.subscribe(topic).map_err(Failure::failed)?;
            if code >= REFUSED {
                return Err(Failure::denied(format!("the broker refused the subscription of {topic} ({code:#04x}).")));
            }
        }
        Ok((Self { client, messages_logged: 0 }, settings))
    }

    fn close(self) -> Result<(), Failure> {
        self.client.disconnect().map_err(Failure::failed)
    }

    /// Answers until it is asked to stop.
    fn serve(&mut self, policies: &mut Policies, signals: &mut Signals) -> Result<(), Failure> {
        let now = policies.standing();
        self.log(now.0, "PoliciesRead", &now.1)?;
        loop {
            let woken = {
                let message = async { self.client.message().await.map(Woken::Message).map_err(Failure::failed) };
                let changed = async { policies.changed().await.map(|()| Woken::Changed).map_err(Failure::failed) };
                let stop = async {
                    signals.next().await;
                    Ok(Woken::Stop)
                };
                smol::block_on(or(stop, or(message, changed)))?
            };
            // A change that was complete before a question was asked counts for it.
            if let Some((level, told)) = policies.read_again().map_err(Failure::failed)? {
                self.log(level, "PoliciesRead", &told)?;
            }
            match woken {
                Woken::Stop => return Ok(()),
                Woken::Changed => {}
                Woken::Message(message) if message.topic == HEALTH => {
                    self.publish(HEALTH_TOPIC, &message.payload)?;
                }
                Woken::Message(message) => self.answer(policies, &message)?,
            }
        }
    }

    fn answer(&mut self, policies: &Policies, message: &Received) -> Result<(), Failure> {
        let Answered { answer, complaint } = policies.answer(&message.payload);
        if let Some((topic, payload)) = answer {
            self.publish(&topic, &payload)?;
        }
        match complaint {
            Some(why) => self.log(Level::Warning, "NotUnderstood", &why),
            None => Ok(()),
        }
    }

    fn log(&mut self, level: Level, category: &str, text: &str) -> Result<(), Failure> {
        self.messages_logged = self.messages_logged.saturating_add(1);
        let message = log_message(self.messages_logged, NAME, level, category, text);
        self.publish("KeeperLogger", message.to_string().as_bytes())
    }

    /// A refusal ends nothing: the agent has it on record, and whoever waits for the answer is told by its own deadline.
    fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), Failure> {
        let code = self.client.publish_at_least_once(topic, payload).map_err(Failure::failed)?;
        if code >= REFUSED {
            let shown = topic.escape_default();
            crate::cli::warn(&format!("{NAME}: the broker refused a message on '{shown}' ({code:#04x})."))?;
        }
        Ok(())
    }
}
