#include "serve/http/transport.h"

#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>

#include "base/error.h"
#include "serve/http_fixture.h"
#include "support/temp_folder.h"

namespace glmoe::serve {
namespace {

using ::testing::HasSubstr;

// A key and a certificate that it signed itself, as PEM files.
void write_certificate(const std::string& certificate_file, const std::string& key_file) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  ASSERT_GT(X509_sign(certificate, key, EVP_sha256()), 0);
  FILE* file = std::fopen(certificate_file.c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  file = std::fopen(key_file.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

class Tls : public HttpFixture {
 protected:
  void start_tls() {
    write_certificate(folder.file("cert.pem"), folder.file("key.pem"));
    tls = std::make_unique<TlsContext>(folder.file("cert.pem"), folder.file("key.pem"));
    start();
  }

  // The answer to `request` over TLS of at most `version`; empty if the handshake fails.
  std::string ask_tls(const std::string& request, int version = TLS1_3_VERSION) {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, 0);
    SSL_CTX_set_max_proto_version(context, version);
    BIO* bio = BIO_new_ssl_connect(context);
    BIO_set_conn_hostname(bio, ("127.0.0.1:" + std::to_string(port)).c_str());
    std::string answer;
    if (BIO_do_connect(bio) == 1) {
      BIO_write(bio, request.data(), static_cast<int>(request.size()));
      char chunk[4096];
      for (int got = 0; (got = BIO_read(bio, chunk, sizeof(chunk))) > 0;) {
        answer.append(chunk, static_cast<size_t>(got));
      }
    }
    BIO_free_all(bio);
    SSL_CTX_free(context);
    return answer;
  }

  Error refusal(const std::string& certificate, const std::string& key) {
    try {
      TlsContext context(certificate, key);
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::kInternal, "it was taken");
  }

  testing::TempFolder folder;
};

TEST_F(Tls, AnswersLongBodiesOverIt) {
  start_tls();
  EXPECT_EQ(listener->url(), "https://127.0.0.1:" + std::to_string(port));
  const std::string body(300'000, 'b');
  const std::string answer = ask_tls(post("/echo", body, "Connection: close\r\n"));
  EXPECT_THAT(answer, ::testing::StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(answer.ends_with(body));
}

TEST_F(Tls, RefusesVersionsThatAreBroken) {
  start_tls();
  EXPECT_EQ(ask_tls(get("/hello", "Connection: close\r\n"), TLS1_1_VERSION), "");
  EXPECT_NE(ask_tls(get("/hello", "Connection: close\r\n"), TLS1_2_VERSION), "");
}

TEST_F(Tls, ClosesWhoDoesNotSpeakItOrNothing) {
  service.limits.header_timeout = std::chrono::milliseconds(200);
  start_tls();
  RawClient plain(port);
  plain.send(get("/hello"));
  EXPECT_THAT(plain.read_to_end(), ::testing::Not(HasSubstr("hello")));
  EXPECT_TRUE(plain.ended());
  RawClient silent(port);
  silent.read_to_end();
  EXPECT_TRUE(silent.ended());
}

// The fastest of several, since a busy machine delays some.
TEST_F(Tls, CancelsWhenTheClientCloses) {
  start_tls();
  auto fastest = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 5; ++i) {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    BIO* bio = BIO_new_ssl_connect(context);
    BIO_set_conn_hostname(bio, ("127.0.0.1:" + std::to_string(port)).c_str());
    ASSERT_EQ(BIO_do_connect(bio), 1);
    const std::string request = post("/wait", "");
    BIO_write(bio, request.data(), static_cast<int>(request.size()));
    fastest = std::min(fastest, time_to_cancel([&] { BIO_free_all(bio); }));
    SSL_CTX_free(context);
  }
  EXPECT_LT(fastest, std::chrono::milliseconds(100));
}

TEST_F(Tls, NamesTheFileThatIsMissingOrWrong) {
  write_certificate(folder.file("cert.pem"), folder.file("key.pem"));
  write_certificate(folder.file("cert2.pem"), folder.file("key2.pem"));
  folder.write("text", "no certificate");
  const Error missing = refusal(folder.file("none"), folder.file("key.pem"));
  EXPECT_EQ(missing.code(), ErrorCode::kNotFound);
  EXPECT_THAT(missing.what(), HasSubstr("--ssl_certfile"));
  const Error no_certificate = refusal(folder.file("text"), folder.file("key.pem"));
  EXPECT_EQ(no_certificate.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(no_certificate.what(), HasSubstr(folder.file("text")));
  const Error other_key = refusal(folder.file("cert.pem"), folder.file("key2.pem"));
  EXPECT_EQ(other_key.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(other_key.what(), HasSubstr("--ssl_keyfile"));
}

}  // namespace
}  // namespace glmoe::serve
