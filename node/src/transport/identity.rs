//! Who a certificate says its bearer is.
//!
//! A node's identity is its place in the cluster, not its address: addresses may change freely, and a certificate
//! stays good. It is written into the certificate twice. `spiffe://<cluster>/region/<region>/node/<n>` is what the
//! acceptor reads; `node-<n>.<cluster>.synod` is the DNS name the dialler asks TLS to verify.

use std::fmt;

use quorum::NodeId;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{FromDer, ParsedExtension},
};

/// A node's place in the world: which cluster, which node, in which region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The node's number in the cluster.
    pub node: NodeId,
    /// The region the node stands in, for example `us-east-1`.
    pub region: String,
}

impl Identity {
    /// Builds an identity, or says in a sentence which part cannot stand in a certificate.
    pub fn new(cluster: &str, node: NodeId, region: &str) -> Result<Self, String> {
        check_label("cluster name", cluster)?;
        check_label("region", region)?;
        Ok(Self {
            cluster: cluster.to_owned(),
            node,
            region: region.to_owned(),
        })
    }

    /// The identity as a SPIFFE URI, as it stands in the certificate.
    pub fn uri(&self) -> String {
        format!("spiffe://{}/region/{}/node/{}", self.cluster, self.region, self.node.0)
    }

    /// The DNS name the certificate carries and the dialler verifies.
    pub fn server_name(&self) -> String {
        server_name(&self.cluster, self.node)
    }

    /// Reads a SPIFFE URI of the form [`Identity::uri`] writes.
    pub fn from_uri(uri: &str) -> Result<Self, String> {
        let malformed = || format!("{uri:?} is not of the form spiffe://<cluster>/region/<region>/node/<number>");
        let path = uri.strip_prefix("spiffe://").ok_or_else(malformed)?;
        let parts: Vec<&str> = path.split('/').collect();
        let [cluster, "region", region, "node", number] = parts[..] else {
            return Err(malformed());
        };
        let node = number.parse::<u64>().map_err(|_| malformed())?;
        if node.to_string() != number {
            return Err(malformed());
        }
        Self::new(cluster, NodeId(node), region)
    }

    /// Reads the identity out of a DER certificate: its one `spiffe` URI among the subject's alternative names.
    pub fn from_certificate(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|error| format!("the certificate does not parse: {error}"))?;
        let mut found = None;
        for extension in certificate.extensions() {
            let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
                continue;
            };
            for name in &names.general_names {
                let GeneralName::URI(uri) = name else { continue };
                if !uri.starts_with("spiffe://") {
                    continue;
                }
                if found.replace(Self::from_uri(uri)?).is_some() {
                    return Err("the certificate carries more than one spiffe URI".to_owned());
                }
            }
        }
        found.ok_or_else(|| "the certificate carries no spiffe URI".to_owned())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node {} of cluster {} in region {}",
            self.node.0, self.cluster, self.region
        )
    }
}

/// The DNS name under which `node` of `cluster` is known to TLS.
pub fn server_name(cluster: &str, node: NodeId) -> String {
    format!("node-{}.{cluster}.synod", node.0)
}

/// Says in a sentence why `label` may not stand in a certificate, which takes 1 to 63 letters, digits, `-`, `_` and `.`
/// that make a host name: no part between dots is empty, or begins or ends with `-`. `what` is what the sentence calls it.
pub fn check_label(what: &str, label: &str) -> Result<(), String> {
    let good_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if label.len() <= 63 && label.split('.').all(good_part) {
        return Ok(());
    }
    Err(format!(
        "{what} {label:?} cannot stand in a certificate: it must be 1 to 63 letters, digits, -, _ or ., with no - or . at \
         either end"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_reads_back_as_the_identity_that_wrote_it() {
        let identity = Identity::new("orders", NodeId(7), "eu-west-1").expect("valid");
        assert_eq!(identity.uri(), "spiffe://orders/region/eu-west-1/node/7");
        assert_eq!(Identity::from_uri(&identity.uri()), Ok(identity));
    }

    #[test]
    fn other_uris_are_refused() {
        for uri in [
            "https://orders/region/eu/node/7",
            "spiffe://orders/region/eu/node/",
            "spiffe://orders/region/eu/node/07",
            "spiffe://orders/region/eu/node/+7",
            "spiffe://orders/region/eu/node/7/8",
            "spiffe://orders/region//node/7",
            "spiffe://or ders/region/eu/node/7",
            "spiffe://or..ders/region/eu/node/7",
            "spiffe://-x/region/eu/node/7",
        ] {
            assert!(Identity::from_uri(uri).is_err(), "{uri}");
        }
    }
}
