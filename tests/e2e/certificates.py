"""A certificate authority for the tests and what it signs."""
import base64
import hashlib
import ssl

from processes import run


class Authority:
    def __init__(self, directory):
        self.directory = directory
        self.key, self.certificate = self._request("authority", ["-subj", "/CN=test authority",
                                                                 "-addext", "basicConstraints=critical,CA:TRUE",
                                                                 "-addext", "keyUsage=critical,keyCertSign"])

    def issue(self, label, names):
        """A certificate for these names; returns a Certificate."""
        san = ",".join(f"DNS:{name}" for name in names)
        key, certificate = self._request(label, ["-subj", f"/CN={label}", "-addext", f"subjectAltName={san}",
                                                 "-addext", "basicConstraints=critical,CA:FALSE",
                                                 "-CA", self.certificate, "-CAkey", self.key])
        return Certificate(key, certificate)

    def _request(self, label, arguments):
        key, certificate = self.directory / f"{label}.key", self.directory / f"{label}.pem"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
             "-days", "2", "-keyout", key, "-out", certificate, *arguments])
        return key, certificate


class Certificate:
    def __init__(self, key, certificate):
        self.key, self.certificate = key, certificate
        self.der = ssl.PEM_cert_to_DER_cert(certificate.read_text())

    def private_scalar(self):
        """The secret 32 bytes of the private key, without the frame all keys of this kind share (RFC 5915)."""
        der = base64.b64decode("".join(self.key.read_text().splitlines()[1:-1]))
        at = der.index(b"\x02\x01\x01\x04\x20") + 5
        return der[at:at + 32]

    def spki_hash(self):
        """As Chromium's --ignore-certificate-errors-spki-list wants it."""
        public = run(["openssl", "x509", "-in", self.certificate, "-noout", "-pubkey"]).stdout
        der = base64.b64decode("".join(public.splitlines()[1:-1]))
        return base64.b64encode(hashlib.sha256(der).digest()).decode()
