package snapshot

// A restore under way marks folders with extended attributes of these names. They tell of it and not of the folder, so no version has them, and if one does all the same they
// are not put back.
const (
	RestoringMark        = "trusted.yester.restoring"  // the target,
	RestoringMarkOfUser  = "user.yester.restoring"     // by who may not set the other one
	UnfinishedMark       = "trusted.yester.unfinished" // a folder that has not yet what the version has for it,
	UnfinishedMarkOfUser = "user.yester.unfinished"    // likewise
)

// IsRestoreMark tells whether an extended attribute is one of these.
func IsRestoreMark(name string) bool {
	return name == RestoringMark || name == RestoringMarkOfUser || name == UnfinishedMark || name == UnfinishedMarkOfUser
}

// IsLeftOut tells whether an extended attribute is in no version and is not put back: restore marks, and the ACLs of xfs in its own form, which it lists beside those that all file systems have.
func IsLeftOut(name string) bool {
	return IsRestoreMark(name) || name == "trusted.SGI_ACL_FILE" || name == "trusted.SGI_ACL_DEFAULT"
}
