//! Tokens of Azure AD (Microsoft Entra): for the identity of a machine, of a workload in Kubernetes, or of an application
//! with a secret.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use url::form_urlencoded;

use super::super::arguments::AzureAd;
use super::Environment;
use super::tokens::Authority;

/// No file with a token is longer.
const MOST_FILE: usize = 1 << 20;
/// Where the metadata service of a virtual machine listens.
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// Where Kubernetes puts the token of a workload.
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// Azure AD, as an endpoint's block names it.
pub(crate) struct Azure {
    config: AzureAd,
    environment: Environment,
}

impl Azure {
    pub(super) fn new(config: &AzureAd, environment: Environment) -> Azure {
        Azure { config: config.clone(), environment }
    }
}

impl Authority for Azure {
    const NAME: &'static str = "Azure AD";
    const RENEW_EARLY: i64 = 5 * 60 * 1000;

    fn request(&self) -> Result<Request<Bytes>, String> {
        let scope = self.config.scope();
        if let Some(identity) = &self.config.managed_identity {
            let mut query = form_urlencoded::Serializer::new(String::new());
            // The metadata service speaks of a resource, which is the scope without its end.
            let resource = scope.strip_suffix("/.default").unwrap_or(&scope);
            query.append_pair("api-version", "2018-02-01").append_pair("resource", resource);
            if !identity.client_id.is_empty() {
                query.append_pair("client_id", &identity.client_id);
            }
            let metadata = (self.environment)("AZURE_POD_IDENTITY_AUTHORITY_HOST");
            let address = match metadata.as_str() {
                "" => METADATA.to_owned(),
                host => format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/')),
            };
            let mut request = Request::new(Bytes::new());
            let address = format!("{address}?{}", query.finish());
            *request.uri_mut() = address.parse().map_err(|error| format!("{address:?} is no address: {error}"))?;
            request.headers_mut().insert("metadata", HeaderValue::from_static("true"));
            return Ok(request);
        }
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials").append_pair("scope", &scope);
        let tenant = if let Some(oauth) = &self.config.oauth {
            form.append_pair("client_id", &oauth.client_id).append_pair("client_secret", &oauth.client_secret.expose());
            &oauth.tenant_id
        } else if let Some(workload) = &self.config.workload_identity {
            let path = if workload.token_file_path.is_empty() { TOKEN_FILE } else { &workload.token_file_path };
            // Kubernetes changes it every hour or so.
            let token = base_sys::fs::read_text_bounded(path.as_ref(), MOST_FILE)
                .map_err(|error| format!("cannot read {path}: {error}"))?;
            form.append_pair("client_id", &workload.client_id)
                .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                .append_pair("client_assertion", token.trim());
            &workload.tenant_id
        } else {
            return Err("no identity is configured".to_owned());
        };
        let host = match (self.environment)("AZURE_AUTHORITY_HOST") {
            host if !host.is_empty() => host,
            _ => self.config.authority().to_owned(),
        };
        let address = format!("{}/{tenant}/oauth2/v2.0/token", host.trim_end_matches('/'));
        let mut request = Request::new(Bytes::from(form.finish()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = address.parse().map_err(|error| format!("{address:?} is no address: {error}"))?;
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(request)
    }
}

impl AzureAd {
    /// What the tokens are for.
    fn scope(&self) -> String {
        match (self.scope.as_str(), self.cloud.as_str()) {
            ("", "AzureChina") => "https://monitor.azure.cn//.default".to_owned(),
            ("", "AzureGovernment") => "https://monitor.azure.us//.default".to_owned(),
            ("", _) => "https://monitor.azure.com//.default".to_owned(),
            (scope, _) => scope.to_owned(),
        }
    }

    /// Who gives them.
    fn authority(&self) -> &'static str {
        match self.cloud.as_str() {
            "AzureChina" => "https://login.chinacloudapi.cn",
            "AzureGovernment" => "https://login.microsoftonline.us",
            _ => "https://login.microsoftonline.com",
        }
    }
}
