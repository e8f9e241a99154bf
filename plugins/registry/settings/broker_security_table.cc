// Broker settings about TLS, SASL and authorization: known, and without effect until a plugin of
// those kinds is there (source: Kafka 4.3.1, BrokerSecurityConfigs, SslConfigs, SaslConfigs).
#include "plugins/registry/settings/table_parts.h"

namespace keelson::settings_tables {

namespace {

constexpr SettingDef kSettings[] = {
    {"authorizer.class.name", kString, "", kMin, kMax, "", kReadOnly, kNoEffect,
     "Java class of the authorizer."},
    {"connections.max.reauth.ms", kLong, "0", kMin, kMax, "", kReadOnly, kNoEffect,
     "Longest life of a session before it must authenticate anew; 0 is no bound."},
    {"delegation.token.expiry.check.interval.ms", kLong, "3600000", 1, kMax, "", kReadOnly,
     kNoEffect, "Time between looks for expired tokens."},
    {"delegation.token.expiry.time.ms", kLong, "86400000", 1, kMax, "", kReadOnly, kNoEffect,
     "Life of a token that is not renewed."},
    {"delegation.token.max.lifetime.ms", kLong, "604800000", 1, kMax, "", kReadOnly, kNoEffect,
     "Longest life of a token."},
    {"delegation.token.secret.key", kPassword, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "Key that tokens are signed with."},
    {"principal.builder.class", kClass,
     "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", kMin, kMax, "",
     kReadOnly, kNoEffect, "Java class that names a client."},
    {"sasl.enabled.mechanisms", kList, "GSSAPI", kMin, kMax, "", kReadOnly, kNoEffect,
     "SASL mechanisms offered."},
    {"sasl.jaas.config", kPassword, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "Credentials in the form of Java's login modules."},
    {"sasl.mechanism.inter.broker.protocol", kString, "GSSAPI", kMin, kMax, "", kReadOnly,
     kNoEffect, "SASL mechanism between brokers."},
    {"sasl.server.max.receive.size", kInt, "524288", kMin, kMax, "", kReadOnly, kNoEffect,
     "Largest message of a client that has not authenticated."},
    {"security.inter.broker.protocol", kString, "PLAINTEXT", kMin, kMax,
     "PLAINTEXT,SSL,SASL_PLAINTEXT,SASL_SSL", kReadOnly, kClusterOnly,
     "Security protocol between brokers."},
    {"security.providers", kString, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "Java classes that provide cryptography."},
    {"ssl.cipher.suites", kList, "", kMin, kMax, "", kReadOnly, kNoEffect,
     "TLS cipher suites allowed; empty: the library's."},
    {"ssl.client.auth", kString, "none", kMin, kMax, "required,requested,none", kReadOnly,
     kNoEffect, "Whether a client must show a certificate."},
    {"ssl.enabled.protocols", kList, "TLSv1.2,TLSv1.3", kMin, kMax, "", kReadOnly, kNoEffect,
     "TLS versions allowed."},
    {"ssl.endpoint.identification.algorithm", kString, "https", kMin, kMax, "", kReadOnly,
     kNoEffect, "How a server's name is checked against its certificate."},
    {"ssl.key.password", kPassword, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "Password of the private key."},
    {"ssl.keystore.certificate.chain", kPassword, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "Certificates, in PEM."},
    {"ssl.keystore.key", kPassword, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "Private key, in PEM."},
    {"ssl.keystore.location", kString, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "File with the key and its certificates."},
    {"ssl.keystore.password", kPassword, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "Password of that file."},
    {"ssl.keystore.type", kString, "JKS", kMin, kMax, "", kReadOnly, kNoEffect,
     "Format of that file."},
    {"ssl.principal.mapping.rules", kString, "DEFAULT", kMin, kMax, "", kReadOnly, kNoEffect,
     "How a certificate's name becomes a client's."},
    {"ssl.protocol", kString, "TLSv1.3", kMin, kMax, "", kReadOnly, kNoEffect,
     "Newest TLS version spoken."},
    {"ssl.truststore.certificates", kPassword, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "Certificates trusted, in PEM."},
    {"ssl.truststore.location", kString, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "File with the certificates trusted."},
    {"ssl.truststore.password", kPassword, nullptr, kMin, kMax, "", kReadOnly, kNoEffect,
     "Password of that file."},
    {"ssl.truststore.type", kString, "JKS", kMin, kMax, "", kReadOnly, kNoEffect,
     "Format of that file."},
    {"super.users", kString, "", kMin, kMax, "", kReadOnly, kNoEffect,
     "Clients who may do everything."},
};

}  // namespace

std::span<const SettingDef> broker_security_settings() { return kSettings; }

}  // namespace keelson::settings_tables
