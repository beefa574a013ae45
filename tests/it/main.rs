//! One binary for all integration tests: one link, shared support.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what its helpers mean to say"
)]

mod access; // credentials and scopes on /v1, the command line and the older surfaces
mod amqp; // the AMQP notifier: a real RabbitMQ, and Qpid's dialect byte for byte
mod authority; // callbacks over TLS: whose certificates are taken
mod backpressure; // publishers beyond what can be written
#[cfg(target_os = "linux")]
mod bad_disk; // a disk that is slow, fails or cannot be written, and a clock that jumps
mod bus_sink; // other buses as sinks and for what is given up, over a kill
mod callback_settings; // tokens, timeouts, secrets that are rotated
mod callback_way; // client certificates and proxies
mod cesql; // CESQL as a filter: verdicts, refusals, explanations
mod cli; // the command line: exit codes, pipes, sockets, signals
mod cloudevents_clients; // the CloudEvents libraries: what they send and what they read
mod config; // settings: what is refused, what is shown, the README's table
mod consent; // the webhook handshake, both ways, and the rates that come of it
mod crash; // the whole hub under kill -9: a ledger of what was acknowledged and what arrived
mod crossing; // in by any of the five ways, out by any
mod dead_letters; // dead letters: found, recovered, dropped, moved by the thousand over a kill
mod delivery; // deliveries: forms byte for byte, signatures, retries, and how they end
mod demo; // the demo's ledger closes
mod docker_cloud; // Docker Cloud's stream: frames, filters, hierarchy, credentials, ends; its own Python client
mod egress; // the egress guard: sinks in disguise, names that lead inside, proxies, plugins
mod email; // the email notifier against a real mail server
mod eventbridge;
mod eventbridge_targets; // Alibaba EventBridge: pairs word for word, real clients, rules, targets, webhooks
mod explain; // why an event did, or did not, arrive: every end of a delivery
mod figures; // the text of /metrics, the README's table of it, what waits and what is refused, durability as told
#[cfg(target_os = "linux")]
mod full; // a full disk: told, survived, and over when there is room
mod hold; // plugins that fail: parked and delivered once, in key order, over a kill; plugins taken away
mod hostile; // the whole pack of bad guests under load: contained, told, and nobody else hurt
mod isolation; // hung, refusing and slow sinks beside healthy ones; breakers and what they cost
mod languages; // plugins in every language: built from source, run through a hub; new projects; their README
mod life; // self-events, figures, a stop under load, a second hub
mod listener; // the commands of pulp-admin: outputs and exit codes
mod log_crash; // the log under kill -9: nothing acknowledged is lost, nothing torn
mod marathon; // Marathon's event bus: golden answers, framing, callbacks, a real one followed, its clients
mod narrowing; // what credentials of one bus see; credentials that end midway
mod net_faults; // sinks that break every rule of the network, and TLS that fails: told, bounded, nobody else hurt
mod order; // order within a key: a sink that fails at random, swaps, kill -9
mod pause; // pause and resume under load, over a stop and a kill: a ledger
mod plugin_cli; // plugin test, diff, show, docs, and options made of a schema
mod plugins; // plugins: verdicts, grants, swaps under load, and whom a bad one hurts
mod positions; // where reading begins: one word, one place, for everybody
mod pulp; // Pulp's event listeners: golden pairs, three notifiers end to end, a restart
mod push; // signed EventBridge pushes, verified by a receiver that has the certificate alone
mod readme; // what the README says can be run, runs
mod replay; // replays: beside live events, over a kill, a pause, a dead sink, to their end
mod rollback; // a generation that fails where the one before it worked
mod rounds; // kill -9 round after round with everything at work: a ledger of what was promised
mod schema; // configs held to the schemas of their plugins: subscriptions, the operator's, and after a swap
mod secrets; // no secret in any log, answer, event or output, at any level
mod standard_webhooks; // signatures, verified by the libraries of their own project
mod stop_under_load; // SIGTERM with everything in flight: in time, nothing lost, nothing twice
mod store_faults; // bytes of the store that change: found, told, never served
mod stream; // streams: filters, resumption over a kill, heartbeats, gaps, slow readers
mod subscriptions_api; // the CloudEvents Subscriptions API under its own paths
#[allow(dead_code, reason = "shared by all tests, and each uses its part")]
mod support; // the program on a free port, a sink that does as it is told
mod swaps; // swaps under fire: who judged what, nothing lost, nothing twice
mod tidy; // the rules of the house, checked from the sources
mod tls; // the listeners under TLS: every door, renewal, client certificates, and the command line behind it
mod tokens; // tokens: made, used, revoked under open streams, offline; rates; who did what
mod transform; // bodies made by transforms, patterns of other services, statuses, ranges: as a caller of the API sees them
mod trial; // candidates in the shadow of live traffic: compared, contained, promoted
