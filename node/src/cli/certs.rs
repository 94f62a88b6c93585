//! `synod certs`: an authority for a cluster, and a certificate for each of its nodes.
//!
//! Peers trust whoever the cluster's authority has signed, so its key is the cluster's most precious file. It is needed
//! only while certificates are issued and may be kept away from the nodes.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Subcommand;
use quorum::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use x509_parser::pem::parse_x509_pem;

use crate::transport::{Identity, identity};

/// Certificates of a fresh cluster are valid from this long ago, for clocks that lag.
const CLOCK_SLACK: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Arguments of `synod certs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  synod certs ca --dir certs --cluster orders
  synod certs node --dir certs --cluster orders --node 1 --region us-east-1
  synod certs node --dir certs --cluster orders --node 2 --region eu-west-1 --host db2.example.com --host 10.0.2.5

Each node needs ca.pem, its own node-<n>.pem and node-<n>.key. Keep ca.key away from the nodes.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create the cluster's certificate authority: ca.pem and ca.key
    Ca(CaArgs),
    /// Issue a node's certificate: node-N.pem and node-N.key
    Node(NodeArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  synod certs ca --dir certs --cluster orders")]
struct CaArgs {
    /// Folder to write to; created if missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Name of the cluster, as in its settings
    #[arg(long, value_name = "NAME")]
    cluster: String,
    /// Days until the authority expires
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
    /// Replace an authority that exists: certificates it issued are then no longer trusted
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  synod certs node --dir certs --cluster orders --node 1 --region us-east-1 --host db1.example.com")]
struct NodeArgs {
    /// Folder that holds ca.pem and ca.key, and to write to
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Name of the cluster, as given to `synod certs ca`
    #[arg(long, value_name = "NAME")]
    cluster: String,
    /// Number of the node
    #[arg(long, value_name = "N")]
    node: u64,
    /// Region the node stands in
    #[arg(long, value_name = "REGION")]
    region: String,
    /// Further DNS name or IP address the certificate is good for, for clients over TLS; may be repeated
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Days until the certificate expires
    #[arg(long, default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
    /// Replace a certificate that exists
    #[arg(long)]
    force: bool,
}

/// Why certificates could not be made. Nothing has been written unless the text says so.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// The cluster, region or host cannot stand in a certificate.
    #[error("{0}")]
    Name(String),
    /// A file is in the way.
    #[error("{} already exists; --force replaces it", .0.display())]
    Exists(PathBuf),
    /// There is no authority to issue with.
    #[error("there is no {}; create the authority first: synod certs ca --dir {} --cluster {cluster}", path.display(), dir.display())]
    NoAuthority {
        /// The missing file.
        path: PathBuf,
        /// The folder it was looked for in.
        dir: PathBuf,
        /// The cluster asked for.
        cluster: String,
    },
    /// The authority in the folder is another cluster's.
    #[error("{} is the authority of {found:?}, not of cluster {cluster}", path.display())]
    OtherCluster {
        /// The authority's certificate.
        path: PathBuf,
        /// Whose authority it is.
        found: String,
        /// The cluster asked for.
        cluster: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// "read", "write" or "create".
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("cannot use {}: {reason}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate could not be made.
    #[error("cannot make the certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// Runs `synod certs` and prints what it wrote.
pub fn run(args: Args) -> Result<(), CertsError> {
    match args.command {
        Command::Ca(args) => {
            let files = CertificateFiles::of_authority(&args.dir);
            Authority::create(&args.cluster, args.days)?.write(&args.dir, args.force)?;
            println!("Wrote {} and {}", files.certificate.display(), files.key.display());
            println!(
                "Every node needs {}. Keep {} secret.",
                files.certificate.display(),
                files.key.display()
            );
        }
        Command::Node(args) => {
            let identity = Identity::new(&args.cluster, NodeId(args.node), &args.region).map_err(CertsError::Name)?;
            let authority = Authority::load(&args.dir, &args.cluster)?;
            let files = authority
                .issue(&identity, &args.host, args.days)?
                .write(&args.dir, &identity, args.force)?;
            println!(
                "Wrote {} and {} for {identity}",
                files.certificate.display(),
                files.key.display()
            );
        }
    }
    Ok(())
}

/// Where a certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM, readable by its owner alone.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// The files of the authority in a folder.
    pub fn of_authority(dir: &Path) -> Self {
        Self {
            certificate: dir.join("ca.pem"),
            key: dir.join("ca.key"),
        }
    }

    /// The files of a node in a folder.
    pub fn of_node(dir: &Path, node: NodeId) -> Self {
        Self {
            certificate: dir.join(format!("node-{}.pem", node.0)),
            key: dir.join(format!("node-{}.key", node.0)),
        }
    }
}

/// A certificate and its key, PEM, not written yet.
pub struct Issued {
    certificate: String,
    key: String,
}

impl Issued {
    /// Writes the files of `identity`'s node into `dir`.
    pub fn write(&self, dir: &Path, identity: &Identity, force: bool) -> Result<CertificateFiles, CertsError> {
        let files = CertificateFiles::of_node(dir, identity.node);
        write_pair(&files, &self.certificate, &self.key, force)?;
        Ok(files)
    }
}

/// A cluster's certificate authority.
pub struct Authority {
    cluster: String,
    certificate: String,
    key: KeyPair,
}

impl Authority {
    /// Makes a new authority, valid for `days` days.
    pub fn create(cluster: &str, days: u32) -> Result<Self, CertsError> {
        identity::check_label("cluster name", cluster).map_err(CertsError::Name)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&authority_name(cluster));
        // Issues leaves only: a stolen node certificate cannot sign another.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, days);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            cluster: cluster.to_owned(),
            certificate,
            key,
        })
    }

    /// Reads the authority of `cluster` from ca.pem and ca.key in `dir`.
    pub fn load(dir: &Path, cluster: &str) -> Result<Self, CertsError> {
        let files = CertificateFiles::of_authority(dir);
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => CertsError::NoAuthority {
                    path: path.into(),
                    dir: dir.into(),
                    cluster: cluster.into(),
                },
                _ => CertsError::File {
                    action: "read",
                    path: path.into(),
                    source,
                },
            })
        };
        let certificate = read(&files.certificate)?;
        let key = KeyPair::from_pem(&read(&files.key)?).map_err(|error| CertsError::Content {
            path: files.key.clone(),
            reason: error.to_string(),
        })?;
        let found = subject(&certificate).map_err(|reason| CertsError::Content {
            path: files.certificate.clone(),
            reason,
        })?;
        if found != authority_name(cluster) {
            return Err(CertsError::OtherCluster {
                path: files.certificate,
                found,
                cluster: cluster.into(),
            });
        }
        Ok(Self {
            cluster: cluster.to_owned(),
            certificate,
            key,
        })
    }

    /// Writes ca.pem and ca.key into `dir`, which is created if missing.
    pub fn write(&self, dir: &Path, force: bool) -> Result<CertificateFiles, CertsError> {
        fs::create_dir_all(dir).map_err(|source| CertsError::File {
            action: "create",
            path: dir.into(),
            source,
        })?;
        let files = CertificateFiles::of_authority(dir);
        write_pair(&files, &self.certificate, &self.key.serialize_pem(), force)?;
        Ok(files)
    }

    /// Issues a certificate for `identity`, valid for `days` days, good for both ends of a peer connection and, under
    /// the names in `hosts` (DNS names or IP addresses), for serving clients.
    pub fn issue(&self, identity: &Identity, hosts: &[String], days: u32) -> Result<Issued, CertsError> {
        if identity.cluster != self.cluster {
            let text = format!("the authority of cluster {} cannot vouch for {identity}", self.cluster);
            return Err(CertsError::Name(text));
        }
        let mut names = vec![identity.server_name()];
        names.extend(hosts.iter().cloned());
        let mut params = CertificateParams::new(names).map_err(|_| {
            CertsError::Name(format!(
                "a host among {hosts:?} is neither a DNS name nor an IP address"
            ))
        })?;
        let uri = identity.uri().try_into().expect("an identity consists of ASCII labels");
        params.subject_alt_names.push(SanType::URI(uri));
        params.distinguished_name = common_name(&identity.server_name());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, days);
        let key = KeyPair::generate()?;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, &self.key)?;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        Ok(Issued {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

fn authority_name(cluster: &str) -> String {
    format!("synod cluster {cluster}")
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_validity(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(CLOCK_SLACK);
    params.not_after = epoch + now + DAY * days;
}

/// The common name in a PEM certificate.
fn subject(pem: &str) -> Result<String, String> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|error| format!("it holds no PEM certificate ({error})"))?;
    let certificate = pem
        .parse_x509()
        .map_err(|error| format!("the certificate does not parse ({error})"))?;
    let name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    Ok(name.unwrap_or_default().to_owned())
}

/// Writes both files or, when one is in the way, neither.
fn write_pair(files: &CertificateFiles, certificate: &str, key: &str, force: bool) -> Result<(), CertsError> {
    for path in [&files.certificate, &files.key] {
        if !force && path.exists() {
            return Err(CertsError::Exists(path.clone()));
        }
    }
    write_file(&files.key, key, 0o600)?;
    write_file(&files.certificate, certificate, 0o644)
}

/// Creates the file anew, so that a key never takes over the wider permissions of what was there before.
fn write_file(path: &Path, content: &str, mode: u32) -> Result<(), CertsError> {
    let error = |source| CertsError::File {
        action: "write",
        path: path.into(),
        source,
    };
    match fs::remove_file(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
        other => other.map_err(error)?,
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(error)?;
    file.write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;

    use super::*;
    use crate::transport::Credentials;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn certs(dir: &Path, line: &str) -> Result<(), CertsError> {
        let words = format!("certs {line} --dir {}", dir.display());
        run(Cli::try_parse_from(words.split_whitespace())
            .expect("a good command line")
            .args)
    }

    #[test]
    fn issued_files_load_and_carry_the_identity() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        certs(dir.path(), "ca --cluster orders").expect("an authority");
        certs(
            dir.path(),
            "node --cluster orders --node 3 --region eu-west-1 --host db3.example.com --host 10.0.0.3",
        )
        .expect("a certificate");
        let (ca, node) = (
            CertificateFiles::of_authority(dir.path()),
            CertificateFiles::of_node(dir.path(), NodeId(3)),
        );
        let credentials = Credentials::load(&ca.certificate, &node.certificate, &node.key).expect("loads");
        let identity = credentials.identity().expect("has an identity");
        assert_eq!(
            identity,
            Identity::new("orders", NodeId(3), "eu-west-1").expect("valid")
        );
        let expiry = credentials.expiry().expect("has an end");
        assert!(expiry.node < expiry.ca, "730 days before 3650");
        for key in [&ca.key, &node.key] {
            assert_eq!(
                fs::metadata(key).expect("exists").permissions().mode() & 0o777,
                0o600,
                "{}",
                key.display()
            );
        }
    }

    #[test]
    fn nothing_is_replaced_without_force() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        certs(dir.path(), "ca --cluster orders").expect("an authority");
        let before = fs::read(dir.path().join("ca.pem")).expect("written");
        assert!(matches!(
            certs(dir.path(), "ca --cluster orders"),
            Err(CertsError::Exists(_))
        ));
        assert_eq!(fs::read(dir.path().join("ca.pem")).expect("still there"), before);
        certs(dir.path(), "ca --cluster orders --force").expect("replaced");
        assert_ne!(fs::read(dir.path().join("ca.pem")).expect("written"), before);
    }

    #[test]
    fn a_certificate_needs_the_authority_of_its_cluster() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let node = "node --cluster orders --node 1 --region eu-west-1";
        let error = certs(dir.path(), node).expect_err("no authority");
        assert!(error.to_string().contains("synod certs ca --dir"), "{error}");
        certs(dir.path(), "ca --cluster billing").expect("an authority");
        let error = certs(dir.path(), node).expect_err("another cluster's authority");
        assert!(error.to_string().contains("not of cluster orders"), "{error}");
        fs::write(dir.path().join("ca.key"), "nonsense").expect("overwritten");
        let error = certs(dir.path(), node).expect_err("a broken key");
        assert!(error.to_string().contains("ca.key"), "{error}");
    }

    #[test]
    fn names_that_cannot_stand_in_a_certificate_are_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert!(matches!(
            certs(dir.path(), "ca --cluster Or/ders"),
            Err(CertsError::Name(_))
        ));
        certs(dir.path(), "ca --cluster orders").expect("an authority");
        let bad = "node --cluster orders --node 1 --region eu/west";
        assert!(matches!(certs(dir.path(), bad), Err(CertsError::Name(_))));
    }
}
