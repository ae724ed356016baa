package control

// The kinds of keys.
const (
	KeyOpen       = "open"       // who can read the vault's files can read the vault
	KeyPassphrase = "passphrase" // a person or a file knows it
	KeyRecovery   = "recovery"   // shown once, kept on paper
)

// A KeyAddRequest asks for another key.
type KeyAddRequest struct {
	Kind       string `json:"kind"`
	Passphrase string `json:"passphrase,omitempty"` // for that kind only
}

// An AddedKey answers a KeyAddRequest.
type AddedKey struct {
	Key
	Recovery string `json:"recovery,omitempty"` // to be written down; nothing shows it again
}

// A KeyRemoveRequest names the key to remove.
type KeyRemoveRequest struct {
	ID string `json:"id"`
}

// A KeyChangeRequest asks for a new passphrase in place of an old one.
type KeyChangeRequest struct {
	ID        string `json:"id,omitempty"`  // may be empty if there is just one passphrase
	Old       string `json:"old,omitempty"` // is checked, unless it is forgotten
	Forgotten bool   `json:"forgotten,omitempty"`
	New       string `json:"new"`
}

// A RemovedKey answers a KeyRemoveRequest.
type RemovedKey struct {
	Warnings []string `json:"warnings,omitempty"`
}

// A ChangedKey answers a KeyChangeRequest: the new passphrase's key, which has another id.
type ChangedKey struct {
	Key
	Warnings []string `json:"warnings,omitempty"`
}
