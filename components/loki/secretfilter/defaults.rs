//! The rules that hold without a file of rules. They are ours; where one means the same as a rule of gitleaks it has its id,
//! so that dashboards and `$SECRET_NAME` stay as they are.

use base_re2::Regex;

use super::rule::{Allowlist, Rule};

/// Tokens that are known by how they begin: id, expression of the token, entropy that it must exceed, keywords.
const TOKENS: &[(&str, &str, f64, &[&str])] = &[
    ("1password-service-account-token", r"ops_eyJ[A-Za-z0-9+/]{200,}={0,3}", 4.0, &["ops_eyj"]),
    ("adobe-client-secret", r"p8e-[A-Za-z0-9]{32}", 2.0, &["p8e-"]),
    ("age-secret-key", r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}", 0.0, &["age-secret-key-1"]),
    ("airtable-personnal-access-token", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", 3.0, &["pat"]),
    ("alibaba-access-key-id", r"LTAI[A-Za-z0-9]{20}", 2.0, &["ltai"]),
    ("anthropic-admin-api-key", r"sk-ant-admin01-[\w-]{80,120}", 3.0, &["sk-ant-admin01"]),
    ("anthropic-api-key", r"sk-ant-api03-[\w-]{80,120}", 3.0, &["sk-ant-api03"]),
    (
        "aws-access-token",
        r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z2-7]{16}",
        3.0,
        &["akia", "asia", "abia", "acca", "a3t"],
    ),
    ("azure-ad-client-secret", r"[\w~.]{3}[0-9]Q~[\w~.-]{31,34}", 3.0, &["q~"]),
    ("clojars-api-token", r"CLOJARS_[A-Za-z0-9]{60}", 2.0, &["clojars_"]),
    ("databricks-api-token", r"dapi[0-9a-f]{32}(?:-[0-9])?", 3.0, &["dapi"]),
    ("digitalocean-access-token", r"doo_v1_[0-9a-f]{64}", 3.0, &["doo_v1_"]),
    ("digitalocean-pat", r"dop_v1_[0-9a-f]{64}", 3.0, &["dop_v1_"]),
    ("digitalocean-refresh-token", r"dor_v1_[0-9a-f]{64}", 3.0, &["dor_v1_"]),
    ("doppler-api-token", r"dp\.pt\.[A-Za-z0-9]{43}", 2.0, &["dp.pt."]),
    ("duffel-api-token", r"duffel_(?:test|live)_[\w=-]{43}", 2.0, &["duffel_"]),
    ("dynatrace-api-token", r"dt0c01\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}", 4.0, &["dt0c01."]),
    ("easypost-api-token", r"EZAK[A-Za-z0-9]{54}", 2.0, &["ezak"]),
    ("easypost-test-api-token", r"EZTK[A-Za-z0-9]{54}", 2.0, &["eztk"]),
    ("flyio-access-token", r"(?:fo1_[\w-]{43}|fm[12][ar]?_[A-Za-z0-9+/]{100,}={0,3})", 4.0, &["fo1_", "fm1", "fm2"]),
    ("frameio-api-token", r"fio-u-[\w=-]{64}", 2.0, &["fio-u-"]),
    ("gcp-api-key", r"AIza[\w-]{35}", 3.0, &["aiza"]),
    ("github-app-token", r"gh[us]_[A-Za-z0-9]{36}", 3.0, &["ghu_", "ghs_"]),
    ("github-fine-grained-pat", r"github_pat_\w{82}", 3.0, &["github_pat_"]),
    ("github-oauth", r"gho_[A-Za-z0-9]{36}", 3.0, &["gho_"]),
    ("github-pat", r"ghp_[A-Za-z0-9]{36}", 3.0, &["ghp_"]),
    ("github-refresh-token", r"ghr_[A-Za-z0-9]{36}", 3.0, &["ghr_"]),
    ("gitlab-cicd-job-token", r"glcbt-[A-Za-z0-9]{1,5}_[\w-]{20}", 3.0, &["glcbt-"]),
    ("gitlab-deploy-token", r"gldt-[\w-]{20}", 3.0, &["gldt-"]),
    ("gitlab-feed-token", r"glft-[\w-]{20}", 3.0, &["glft-"]),
    ("gitlab-incoming-mail-token", r"glimt-[\w-]{25}", 3.0, &["glimt-"]),
    ("gitlab-kubernetes-agent-token", r"glagent-[\w-]{50}", 3.0, &["glagent-"]),
    ("gitlab-oauth-app-secret", r"gloas-[\w-]{64}", 3.0, &["gloas-"]),
    ("gitlab-pat", r"glpat-[\w-]{20}", 3.0, &["glpat-"]),
    ("gitlab-ptt", r"glptt-[0-9a-f]{40}", 3.0, &["glptt-"]),
    ("gitlab-rrt", r"GR1348941[\w-]{20}", 3.0, &["gr1348941"]),
    ("gitlab-runner-authentication-token", r"glrt-[\w-]{20}", 3.0, &["glrt-"]),
    ("gitlab-scim-token", r"glsoat-[\w-]{20}", 3.0, &["glsoat-"]),
    ("grafana-api-key", r"eyJrIjoi[A-Za-z0-9]{70,400}={0,3}", 3.0, &["eyjrijoi"]),
    ("grafana-cloud-api-token", r"glc_[A-Za-z0-9+/]{32,400}={0,3}", 3.0, &["glc_"]),
    ("grafana-service-account-token", r"glsa_[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}", 3.0, &["glsa_"]),
    ("hashicorp-tf-api-token", r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,70}", 3.5, &["atlasv1"]),
    ("heroku-api-key-v2", r"HRKU-AA[\w-]{58}", 4.0, &["hrku-aa"]),
    ("huggingface-access-token", r"hf_[A-Za-z]{34}", 2.0, &["hf_"]),
    ("huggingface-organization-api-token", r"api_org_[A-Za-z]{34}", 2.0, &["api_org_"]),
    ("infracost-api-token", r"ico-[A-Za-z0-9]{32}", 3.0, &["ico-"]),
    ("jwt", r"ey[A-Za-z0-9_-]{17,}\.ey[A-Za-z0-9_-]{17,}\.[A-Za-z0-9_-]{10,}={0,2}", 3.0, &["ey"]),
    ("linear-api-key", r"lin_api_[A-Za-z0-9]{40}", 2.0, &["lin_api_"]),
    ("new-relic-insert-key", r"NRII-[A-Za-z0-9-]{32}", 0.0, &["nrii-"]),
    ("new-relic-user-api-key", r"NRAK-[A-Za-z0-9]{27}", 0.0, &["nrak-"]),
    ("notion-api-token", r"ntn_[0-9]{11}[A-Za-z0-9]{35}", 4.0, &["ntn_"]),
    ("npm-access-token", r"npm_[A-Za-z0-9]{36}", 2.0, &["npm_"]),
    (
        "openai-api-key",
        r"sk-(?:(?:proj|svcacct|admin)-[\w-]{20,200}T3BlbkFJ[\w-]{20,200}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})",
        3.0,
        &["t3blbkfj"],
    ),
    ("openshift-user-token", r"sha256~[\w-]{43}", 3.5, &["sha256~"]),
    ("perplexity-api-key", r"pplx-[A-Za-z0-9]{48}", 4.0, &["pplx-"]),
    ("planetscale-api-token", r"pscale_tkn_[\w=.-]{32,64}", 3.0, &["pscale_tkn_"]),
    ("planetscale-oauth-token", r"pscale_oauth_[\w=.-]{32,64}", 3.0, &["pscale_oauth_"]),
    ("planetscale-password", r"pscale_pw_[\w=.-]{32,64}", 3.0, &["pscale_pw_"]),
    ("postman-api-token", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}", 3.0, &["pmak-"]),
    ("prefect-api-token", r"pnu_[A-Za-z0-9]{36}", 2.0, &["pnu_"]),
    ("pulumi-api-token", r"pul-[0-9a-f]{40}", 2.0, &["pul-"]),
    ("pypi-upload-token", r"pypi-AgEIcHlwaS5vcmc[\w-]{50,1000}", 3.0, &["pypi-ageichlwas5vcmc"]),
    ("readme-api-token", r"rdme_[a-z0-9]{70}", 2.0, &["rdme_"]),
    ("rubygems-api-token", r"rubygems_[0-9a-f]{48}", 2.0, &["rubygems_"]),
    ("sendgrid-api-token", r"SG\.[\w=-]{20,24}\.[\w=-]{39,50}", 2.0, &["sg."]),
    ("sendinblue-api-token", r"xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}", 2.0, &["xkeysib-"]),
    ("sentry-org-token", r"sntrys_[A-Za-z0-9+/=_]{80,400}", 4.0, &["sntrys_"]),
    ("sentry-user-token", r"sntryu_[0-9a-f]{64}", 3.5, &["sntryu_"]),
    ("shippo-api-token", r"shippo_(?:live|test)_[0-9a-f]{40}", 2.0, &["shippo_"]),
    ("shopify-access-token", r"shpat_[0-9A-Fa-f]{32}", 2.0, &["shpat_"]),
    ("shopify-custom-access-token", r"shpca_[0-9A-Fa-f]{32}", 2.0, &["shpca_"]),
    ("shopify-private-app-access-token", r"shppa_[0-9A-Fa-f]{32}", 2.0, &["shppa_"]),
    ("shopify-shared-secret", r"shpss_[0-9A-Fa-f]{32}", 2.0, &["shpss_"]),
    ("slack-app-token", r"xapp-[0-9]-[A-Z0-9]+-[0-9]+-[A-Za-z0-9]+", 2.0, &["xapp-"]),
    ("slack-bot-token", r"xoxb-[0-9]{10,13}-[0-9]{10,13}[A-Za-z0-9-]*", 3.0, &["xoxb-"]),
    ("slack-user-token", r"xox[pe](?:-[0-9]{10,13}){3}-[A-Za-z0-9-]{28,34}", 2.0, &["xoxp-", "xoxe-"]),
    (
        "slack-webhook-url",
        r"https?://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{43,56}",
        0.0,
        &["hooks.slack.com"],
    ),
    ("square-access-token", r"(?:EAAA|sq0atp-)[\w-]{22,60}", 3.0, &["eaaa", "sq0atp-"]),
    ("stripe-access-token", r"[sr]k_(?:test|live|prod)_[A-Za-z0-9]{10,99}", 2.0, &["sk_", "rk_"]),
    ("twilio-api-key", r"SK[0-9A-Fa-f]{32}", 3.0, &["sk"]),
    ("vault-batch-token", r"hvb\.[\w-]{138,300}", 4.0, &["hvb."]),
    ("vault-service-token", r"hvs\.[\w-]{90,120}", 3.5, &["hvs."]),
];

/// Tokens that are known only by the name of what they are assigned to: id, expression of the name, of the value, entropy,
/// keywords.
const ASSIGNED: &[(&str, &str, &str, f64, &[&str])] = &[
    ("atlassian-api-token", "atlassian|confluence|jira", "[A-Za-z0-9]{24}", 3.5, &["atlassian", "confluence", "jira"]),
    ("aws-secret-access-key", "aws_?secret(?:_?access)?_?key|secretaccesskey", "[A-Za-z0-9/+]{40}", 3.5, &["secret"]),
    ("cloudflare-api-key", "cloudflare", r"[\w-]{40}", 3.0, &["cloudflare"]),
    (
        "datadog-access-token",
        "datadog|dd_?(?:api|app)_?key",
        "[a-z0-9]{32}(?:[a-z0-9]{8})?",
        3.0,
        &["datadog", "dd_", "ddapi", "ddapp"],
    ),
    ("discord-api-token", "discord", "[0-9a-f]{64}", 3.0, &["discord"]),
    ("fastly-api-token", "fastly", r"[\w=-]{32}", 3.0, &["fastly"]),
    ("heroku-api-key", "heroku", "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", 3.0, &["heroku"]),
    ("mailchimp-api-key", "mailchimp", "[0-9a-f]{32}-us[0-9]{1,2}", 3.0, &["mailchimp"]),
    ("mailgun-private-api-token", "mailgun", "key-[0-9a-f]{32}", 3.0, &["mailgun"]),
    ("okta-access-token", "okta", r"00[\w=-]{40}", 4.0, &["okta"]),
    ("telegram-bot-api-token", "telegr(?:am)?", r"[0-9]{5,16}:A[\w-]{34}", 3.0, &["telegr"]),
    (
        "generic-api-key",
        "access|auth|api|credentials?|creds?|key|passw(?:or)?d|secret|token",
        r"[\w.=+/-]{10,150}",
        3.5,
        &["access", "auth", "api", "cred", "key", "passwd", "password", "secret", "token"],
    ),
];

const PRIVATE_KEY: &str = r"(?i)-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----[\s\S]{64,}?-----END[ A-Z0-9_-]{0,100}KEY(?: BLOCK)?-----";

/// The rules.
pub fn rules() -> Vec<Rule> {
    let tokens = TOKENS.iter().map(|(id, token, entropy, keywords)| {
        // A word before and behind would make it a part of something longer.
        let pattern = format!(r"(?:^|[^A-Za-z0-9_-])({token})(?:[^A-Za-z0-9_-]|$)");
        Rule::new(id, &pattern, *entropy, keywords)
    });
    let assigned = ASSIGNED.iter().map(|(id, name, value, entropy, keywords)| {
        let assigned = r#"[\w.-]{0,20}["'`]?[ \t]{0,3}(?:=|:=|:|=>)[ \t]{0,3}["'`]?"#;
        let pattern = format!(r#"(?i)(?:{name}){assigned}({value})(?:["'`\s;,&]|$)"#);
        let mut rule = Rule::new(id, &pattern, *entropy, keywords);
        rule.secret_group = 1;
        if *id == "generic-api-key" {
            rule.allowed.push(words_only());
        }
        rule
    });
    let mut private_key = Rule::new("private-key", PRIVATE_KEY, 0.0, &["-----begin"]);
    private_key.secret_group = 0;
    tokens.chain([private_key]).chain(assigned).collect()
}

/// What no rule means: references to where a secret is, and one letter again and again.
pub fn allowed() -> Vec<Allowlist> {
    let regex = |text: &str| Regex::new(text).ok();
    let placeholders = [
        r"(?i)^(?:true|false|null|none|undefined|example|redacted|changeme)$",
        r"^(?:x+|X+|\*+|\.+|0+)$",
        r"^\$(?:\w+|\{\w+\})$",
        r"^%\w+%$",
        r"^\{\{.*\}\}$",
        r"^<.*>$",
    ];
    vec![Allowlist { regexes: placeholders.into_iter().filter_map(regex).collect(), ..Allowlist::default() }]
}

/// Words without a digit are hardly ever keys.
fn words_only() -> Allowlist {
    Allowlist { regexes: Regex::new(r"^[A-Za-z_./=+-]+$").into_iter().collect(), ..Allowlist::default() }
}

#[cfg(test)]
mod tests {
    use super::super::rule::Detector;
    use super::*;

    fn found(line: &str) -> Vec<(String, String)> {
        let detector = Detector::new(rules(), allowed()).unwrap();
        let findings = detector.find(line.as_bytes(), None).findings;
        findings.into_iter().map(|finding| (finding.rule.to_owned(), line[finding.secret].to_owned())).collect()
    }

    /// Text that looks random, of the letters that are given; made here, so that nobody's scanner finds a secret in this file.
    fn random(letters: &str, length: usize) -> String {
        let letters: Vec<char> = letters.chars().collect();
        let mut state = 12_345_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            letters[(state >> 33) as usize % letters.len()]
        };
        (0..length).map(|_| next()).collect()
    }

    const LETTERS: &str = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    const HEX: &str = "0123456789abcdef";

    #[test]
    fn every_expression_compiles_and_every_rule_has_keywords_that_its_secrets_hold() {
        for rule in rules() {
            assert!(rule.regex().groups() >= 1 && !rule.keywords.is_empty(), "{}", rule.id);
            assert!(rule.keywords.iter().all(|word| *word == word.to_lowercase()), "{}", rule.id);
        }
        let mut ids: Vec<String> = rules().into_iter().map(|rule| rule.id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "an id is there twice");
        assert_eq!(allowed()[0].regexes.len(), 6);
    }

    #[test]
    fn well_known_tokens_are_known() {
        let upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        for (id, secret) in [
            ("github-pat", format!("ghp_{}", random(LETTERS, 36))),
            ("github-fine-grained-pat", format!("github_pat_{}", random(LETTERS, 82))),
            ("gitlab-pat", format!("glpat-{}", random(LETTERS, 20))),
            ("grafana-service-account-token", format!("glsa_{}_{}", random(LETTERS, 32), random(HEX, 8))),
            ("aws-access-token", format!("AKIA{}", random(upper, 16))),
            ("gcp-api-key", format!("AIza{}", random(LETTERS, 35))),
            ("stripe-access-token", format!("sk_live_{}", random(LETTERS, 24))),
            ("slack-bot-token", format!("xoxb-1234567890-1234567890-{}", random(LETTERS, 24))),
            ("npm-access-token", format!("npm_{}", random(LETTERS, 36))),
            ("jwt", format!("eyJhbGciOiJIUzI1NiJ9x.eyJ{}.{}", random(LETTERS, 30), random(LETTERS, 43))),
            ("vault-service-token", format!("hvs.{}", random(LETTERS, 95))),
        ] {
            for line in [secret.clone(), format!("got token={secret}"), format!(r#"{{"t":"{secret}","n":1}}"#)] {
                assert_eq!(found(&line), [(id.to_owned(), secret.clone())], "{line}");
            }
            let longer = format!("x{secret}");
            assert!(!found(&longer).iter().any(|(rule, _)| rule == id), "{longer}");
        }
    }

    #[test]
    fn assigned_secrets_and_private_keys_are_known_and_ordinary_lines_are_not() {
        let value = random(LETTERS, 40);
        assert_eq!(found(&format!("password: '{value}'")), [("generic-api-key".to_owned(), value.clone())]);
        assert_eq!(found(&format!("aws_secret_access_key = {value}")), [("aws-secret-access-key".to_owned(), value)]);
        let key = format!("-----BEGIN RSA PRIVATE KEY-----\\n{}\\n-----END RSA PRIVATE KEY-----", random(LETTERS, 200));
        assert_eq!(found(&format!("loaded {key}!")), [("private-key".to_owned(), key)]);
        for line in [
            "GET /api/v1/users?page=2 200 12ms",
            "token: ${TOKEN}",
            "password=<redacted>",
            "key=configuration.reload",
            "user authenticated: session opened for alice",
            "api_key: xxxxxxxxxxxxxxxxxxxxxxxx",
            "level=info msg=\"access granted\" path=/etc/passwd",
        ] {
            assert_eq!(found(line), [], "{line}");
        }
    }
}
