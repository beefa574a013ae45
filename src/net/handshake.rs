//! Why a TLS handshake failed, in words for whoever runs the sink, or the hub.
//!
//! The library's own words follow in brackets: they are what one searches for.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

/// What was wrong, and who can mend it.
pub(super) fn why(error: &io::Error) -> String {
    let means = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(fault)) => certificate(fault),
        Some(Error::AlertReceived(alert)) => refusal(*alert),
        Some(Error::PeerIncompatible(_)) => {
            Some("it speaks no TLS 1.2 or 1.3 that we do; older versions are not spoken")
        }
        Some(Error::InvalidMessage(_)) => Some("what came is not TLS; is it a port for plain HTTP?"),
        Some(_) => None,
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof => Some("it closed the connection in the middle of the handshake"),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Some("it broke the connection off in the middle of the handshake")
            }
            _ => None,
        },
    };
    match means {
        Some(means) => format!("{means} ({error})"),
        None => error.to_string(),
    }
}

fn certificate(fault: &CertificateError) -> Option<&'static str> {
    use CertificateError as Fault;
    Some(match fault {
        Fault::Expired | Fault::ExpiredContext { .. } => {
            "its certificate has expired; who runs it must renew it (or this machine's clock is wrong)"
        }
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => {
            "its certificate is not valid yet (or this machine's clock is wrong)"
        }
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => "its certificate is for another name",
        Fault::UnknownIssuer => {
            "its certificate is signed by itself, by an authority that is not trusted, or comes without its chain; \
             `protocolsettings.tls.ca` names an authority to trust, and for a command `--ca` does"
        }
        Fault::Revoked => "its certificate is revoked",
        _ => return None,
    })
}

fn refusal(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as Alert;
    Some(match alert {
        Alert::ProtocolVersion => "it speaks no TLS 1.2 or 1.3; older versions are not spoken",
        Alert::HandshakeFailure | Alert::InsufficientSecurity => "it has no cipher in common with us",
        Alert::CertificateRequired => "it wants a client certificate",
        Alert::BadCertificate | Alert::UnknownCA | Alert::CertificateUnknown | Alert::CertificateExpired => {
            "it does not take our client certificate"
        }
        Alert::UnrecognisedName => "it does not know this name",
        _ => return None,
    })
}
