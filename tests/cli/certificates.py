"""Certificates for the tests of TLS, made with the openssl program."""
import subprocess


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30)


def make(*arguments):
    result = openssl(*arguments)
    if result.returncode != 0:
        raise AssertionError(f"openssl {arguments}: {result.stdout.decode()}")


def make_authority(folder, name):
    """A certificate authority: `name`.crt and `name`.key."""
    make("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key",
         "-out", folder / f"{name}.crt")


def make_certificate(folder, name, authority):
    """A certificate for this machine, signed by the authority: `name`.crt and `name`.key."""
    make("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=localhost", "-keyout", folder / f"{name}.key",
         "-out", folder / f"{name}.csr")
    extensions = folder / f"{name}.ext"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n"
                          "extendedKeyUsage=serverAuth\n")
    make("x509", "-req", "-in", folder / f"{name}.csr", "-days", "2", "-CAcreateserial",
         "-CA", folder / f"{authority}.crt", "-CAkey", folder / f"{authority}.key",
         "-extfile", extensions, "-out", folder / f"{name}.crt")
